"""An artefact behind HTTP: needs the extra ``serve``. Modules here import FastAPI; whoever calls them asks `packages` first."""
