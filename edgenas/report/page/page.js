// Words where something is pointed at, pictures enlarged, lines copied. Without this script the page is whole, too.
"use strict";
(() => {
  const tip = document.getElementById("tip");
  let shown = null;
  const put = () => {
    const at = shown.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left + at.width / 2 - own.width / 2), innerWidth - own.width - 8);
    const above = at.top - own.height - 8;
    tip.style.left = left + "px";
    tip.style.top = (above > 4 ? above : at.bottom + 8) + "px";
  };
  const show = (mark) => {
    shown = mark;
    tip.textContent = mark.dataset.tip;
    tip.classList.add("on");
    put();
  };
  const hide = () => {
    shown = null;
    tip.classList.remove("on");
  };
  // A mark that keys reach is scrolled into sight, smoothly: its words go with it.
  const follow = () => shown && put();
  for (const mark of document.querySelectorAll("[data-tip]")) {
    const title = mark.querySelector(":scope > title");
    if (title) title.remove();
    mark.removeAttribute("title");
    mark.setAttribute("aria-label", mark.dataset.tip);
    mark.addEventListener("pointerenter", () => show(mark));
    mark.addEventListener("focus", () => show(mark));
    mark.addEventListener("click", () => show(mark));
    mark.addEventListener("pointerleave", hide);
    mark.addEventListener("blur", hide);
  }
  addEventListener("scroll", follow, { passive: true });

  const large = document.getElementById("large");
  const picture = large.querySelector("img"), words = large.querySelector("p");
  let cards = [], place = 0;
  const enlarge = () => {
    const small = cards[place].querySelector("img");
    picture.src = small.src;
    picture.alt = small.alt;
    picture.className = small.className;
    words.textContent = cards[place].dataset.enlarge;
  };
  for (const card of document.querySelectorAll("[data-enlarge]")) {
    card.addEventListener("click", () => {
      cards = [...card.parentElement.children];
      place = cards.indexOf(card);
      enlarge();
      large.showModal();
    });
  }
  large.addEventListener("click", (event) => { if (event.target !== picture && event.target !== words) large.close(); });
  large.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) { place = (place + step + cards.length) % cards.length; enlarge(); }
  });

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(button.dataset.copy); button.textContent = "copied"; }
      catch { getSelection().selectAllChildren(button.parentElement.querySelector("code")); button.textContent = "selected"; }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
  }
})();
