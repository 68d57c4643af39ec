// Classify images with the model in this folder: a line with path, class and probability for each, separated by tabs.
//
// The pixels that the model reads, and so the answers, are those of example.py: the resizing below is Pillow's, bit by bit.
// It reads PPM and PGM images of 8 bits, so that it needs nothing but ONNX Runtime; ImageMagick makes them of others:
//
//   g++ -O2 -std=c++17 example.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o ../example
//   convert ../photo.jpg -auto-orient -depth 8 ../photo.ppm
//   ../example ../photo.ppm
//
// (from this folder, where it finds the model; beside it, because `edgenas verify` wants no other file here)

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

// @constants@

struct Image {  // RGB, a row after the other
  int width, height;
  std::vector<uint8_t> pixels;
};

int number_in(std::istream& file) {  // the next one of a header; comments go from # to the end of the line
  while (file >> std::ws && file.peek() == '#') file.ignore(1 << 20, '\n');
  int value = 0;
  if (!(file >> value) || value < 1 || value > 1 << 16) throw std::runtime_error("its header is no PPM's or PGM's");
  return value;
}

Image read_image(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot be read");
  char kind[2] = {0, 0};
  file.read(kind, 2);
  if (kind[0] != 'P' || (kind[1] != '5' && kind[1] != '6')) throw std::runtime_error("is no binary PPM or PGM image");
  const int channels = kind[1] == '6' ? 3 : 1;
  Image image{number_in(file), 0, {}};
  image.height = number_in(file);
  if (number_in(file) != 255) throw std::runtime_error("has not 8 bits a channel");
  file.get();
  const size_t count = size_t(image.width) * image.height;
  std::vector<uint8_t> stored(count * channels);
  if (!file.read(reinterpret_cast<char*>(stored.data()), std::streamsize(stored.size()))) throw std::runtime_error("is cut off");
  image.pixels.resize(count * 3);
  for (size_t i = 0; i < count * 3; ++i) image.pixels[i] = stored[channels == 3 ? i : i / 3];
  return image;
}

struct Filter {
  double support;
  double (*weight)(double);
};

double sinc(double x) { return x == 0 ? 1 : std::sin(M_PI * x) / (M_PI * x); }

Filter filter_named(const std::string& name) {
  if (name == "box") return {0.5, [](double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }};
  if (name == "bilinear") return {1, [](double x) { return std::max(0.0, 1 - std::fabs(x)); }};
  if (name == "lanczos") return {3, [](double x) { return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0.0; }};
  return {2, [](double x) {  // bicubic, a = -0.5
            x = std::fabs(x);
            if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
            return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0.0;
          }};
}

// One side of an image to another length: fixed-point weights of 22 bits, rounded and clipped to 8 bits, as Pillow does.
// `at` tells where channel c of position x in line y lies: columns are resized with one order, rows with the other.
template <class At, class To>
void resize_side(const std::vector<uint8_t>& from, std::vector<uint8_t>& to, int in, int out, int lines, At at, To to_at) {
  constexpr int bits = 32 - 8 - 2;
  const Filter filter = filter_named(FILTER);
  const double scale = double(in) / out, stretch = std::max(scale, 1.0), support = filter.support * stretch;
  for (int x = 0; x < out; ++x) {
    const double center = (x + 0.5) * scale;
    const int low = std::max(0, int(center - support + 0.5)), high = std::min(in, int(center + support + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int i = low; i < high; ++i) {
      weights.push_back(filter.weight((i - center + 0.5) * (1.0 / stretch)));
      sum += weights.back();
    }
    std::vector<int> fixed;
    for (double weight : weights) {
      const double share = sum != 0 ? weight / sum : weight;
      fixed.push_back(int(share * (1 << bits) + (share < 0 ? -0.5 : 0.5)));
    }
    for (int y = 0; y < lines; ++y) {
      for (int c = 0; c < 3; ++c) {
        int total = 1 << (bits - 1);
        for (int i = low; i < high; ++i) total += from[at(i, y, c)] * fixed[i - low];
        to[to_at(x, y, c)] = uint8_t(std::min(255, std::max(0, total >> bits)));
      }
    }
  }
}

Image resized_to(Image image, int width, int height) {
  if (image.width != width) {
    Image other{width, image.height, std::vector<uint8_t>(size_t(width) * image.height * 3)};
    resize_side(
        image.pixels, other.pixels, image.width, width, image.height,
        [&](int x, int y, int c) { return (size_t(y) * image.width + x) * 3 + c; },
        [&](int x, int y, int c) { return (size_t(y) * width + x) * 3 + c; });
    image = std::move(other);
  }
  if (image.height != height) {
    Image other{width, height, std::vector<uint8_t>(size_t(width) * height * 3)};
    const auto turned = [width](int y, int x, int c) { return (size_t(y) * width + x) * 3 + c; };
    resize_side(image.pixels, other.pixels, image.height, height, width, turned, turned);
    image = std::move(other);
  }
  return image;
}

std::vector<float> tensor_of(Image image) {  // 3 x SIZE x SIZE: resized, its middle, normalised
  const std::string mode = RESIZE_MODE;
  const int64_t target = TARGET, shorter = std::min(image.width, image.height), longer = std::max(image.width, image.height);
  int width = TARGET, height = TARGET;
  if (mode == "crop") {
    width = int(target * image.width / shorter);
    height = int(target * image.height / shorter);
  } else if (mode == "letterbox") {
    width = int(std::max<int64_t>(1, target * image.width / longer));
    height = int(std::max<int64_t>(1, target * image.height / longer));
  }
  image = resized_to(std::move(image), width, height);
  if (mode == "letterbox") {
    Image square{TARGET, TARGET, std::vector<uint8_t>(size_t(TARGET) * TARGET * 3, GROUND)};
    const int left = (TARGET - width) / 2, top = (TARGET - height) / 2;
    for (int y = 0; y < height; ++y)
      std::copy_n(&image.pixels[size_t(y) * width * 3], width * 3, &square.pixels[(size_t(y + top) * TARGET + left) * 3]);
    image = std::move(square);
  }
  const int left = int(std::nearbyint((image.width - SIZE) / 2.0)), top = int(std::nearbyint((image.height - SIZE) / 2.0));
  std::vector<float> values(size_t(3) * SIZE * SIZE);
  for (int c = 0; c < 3; ++c)
    for (int y = 0; y < SIZE; ++y)
      for (int x = 0; x < SIZE; ++x) {
        const uint8_t pixel = image.pixels[(size_t(y + top) * image.width + x + left) * 3 + c];
        values[(size_t(c) * SIZE + y) * SIZE + x] = (float(pixel) / 255.0f - MEAN[c]) / STD[c];
      }
  return values;
}

// The positive class from its threshold on, else the most probable of the others.
int decide(const std::vector<double>& probabilities) {
  if (POSITIVE >= 0 && probabilities[POSITIVE] >= THRESHOLD) return POSITIVE;
  int best = -1;
  for (int i = 0; i < int(probabilities.size()); ++i)
    if (i != POSITIVE && (best < 0 || probabilities[i] > probabilities[best])) best = i;
  return best;
}

void classify(Ort::Session& session, const std::string& path) {
  std::vector<float> values = tensor_of(read_image(path));
  const std::array<int64_t, 4> shape{1, 3, SIZE, SIZE};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  auto image = Ort::Value::CreateTensor<float>(memory, values.data(), values.size(), shape.data(), shape.size());
  const char* inputs[] = {INPUT};
  const char* outputs[] = {OUTPUT};
  auto answers = session.Run(Ort::RunOptions{nullptr}, inputs, &image, 1, outputs, 1);
  const float* logits = answers[0].GetTensorData<float>();
  const double largest = *std::max_element(logits, logits + CLASSES.size());
  std::vector<double> probabilities;
  double sum = 0;
  for (size_t i = 0; i < CLASSES.size(); ++i) sum += probabilities.emplace_back(std::exp(logits[i] - largest));
  for (double& each : probabilities) each /= sum;
  const int decided = decide(probabilities);
  const bool refer = POSITIVE >= 0 && probabilities[POSITIVE] >= REFER_LOW && probabilities[POSITIVE] <= REFER_HIGH;
  std::printf("%s\t%s\t%.6f%s\n", path.c_str(), CLASSES[decided].c_str(), probabilities[decided], refer ? "\trefer" : "");
}

int main(int count, char** words) {
  if (count < 2) {
    std::fprintf(stderr, "usage: example IMAGE.ppm...\n");
    return 2;
  }
  int status = 0;
  try {
    Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "example");
    Ort::Session session(environment, MODEL, Ort::SessionOptions{});
    for (int i = 1; i < count; ++i) {
      try {
        classify(session, words[i]);
      } catch (const std::runtime_error& error) {
        std::fprintf(stderr, "example: %s %s\n", words[i], error.what());
        status = 1;
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "example: %s: %s\n", MODEL, error.what());
    return 1;
  }
  return status;
}
