// Label one image by a file of `mmseg_gc export --to openvino`, without Python.
//
//   OV=$(python -c "import openvino, pathlib; print(pathlib.Path(openvino.__file__).parent)")
//   g++ -std=c++17 -O1 label.cpp -I$OV/include $OV/libs/libopenvino.so.* -Wl,-rpath,$OV/libs -o label
//   ./label own.xml street.ppm labels.pgm
//
// The image is a PPM (P6), the labels a PGM (P5) of class ids. Classes, mean, std and the order of
// channels are read from the file's metadata, where each value is JSON.
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <openvino/core/model.hpp>
#include <openvino/runtime/core.hpp>

struct Image {
    size_t height, width;
    std::vector<uint8_t> pixels;  // RGB, row by row
};

Image read_ppm(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string magic;
    size_t width, height, levels;
    if (!(file >> magic >> width >> height >> levels) || magic != "P6" || levels != 255)
        throw std::runtime_error(path + " is no PPM (P6) of 8 bits: convert the image to one.");
    file.get();
    Image image{height, width, std::vector<uint8_t>(3 * height * width)};
    if (!file.read(reinterpret_cast<char*>(image.pixels.data()), image.pixels.size()))
        throw std::runtime_error(path + " is cut off: convert the image again.");
    return image;
}

std::string metadata(const ov::Model& model, const std::string& key) {
    if (!model.has_rt_info("mmseg_gc", key))
        throw std::runtime_error("the file has no metadata '" + key + "': write it by `mmseg_gc export`.");
    return model.get_rt_info<std::string>("mmseg_gc", key);
}

std::vector<float> numbers(std::string json) {
    for (char& letter : json)
        if (letter == '[' || letter == ']' || letter == ',') letter = ' ';
    std::istringstream stream(json);
    std::vector<float> found;
    for (float value; stream >> value;) found.push_back(value);
    return found;
}

std::vector<std::string> names(const std::string& json) {
    std::vector<std::string> found;
    for (size_t start = json.find('"'); start != std::string::npos;) {
        const size_t end = json.find('"', start + 1);
        found.push_back(json.substr(start + 1, end - start - 1));
        start = json.find('"', end + 1);
    }
    return found;
}

// Where a pixel lies among `source` ones, and how far towards the next, as torch has it.
struct Place {
    size_t first, next;
    float share;
};

std::vector<Place> places(size_t source, size_t target, bool align_corners) {
    std::vector<Place> found(target);
    for (size_t i = 0; i < target; ++i) {
        float at = align_corners ? (target > 1 ? float(i) * (source - 1) / (target - 1) : 0)
                                 : std::max(0.f, (i + 0.5f) * source / target - 0.5f);
        const size_t first = std::min<size_t>(at, source - 1);
        found[i] = {first, std::min(first + 1, source - 1), at - first};
    }
    return found;
}

int run(const std::string& file, const std::string& source, const std::string& target) {
    ov::Core core;
    auto model = core.read_model(file);
    const auto classes = names(metadata(*model, "classes"));
    const auto mean = numbers(metadata(*model, "mean")), std_ = numbers(metadata(*model, "std"));
    const bool is_bgr = metadata(*model, "channel_order") == "\"BGR\"";
    const bool align_corners = metadata(*model, "align_corners") == "true";
    const Image image = read_ppm(source);
    const size_t area = image.height * image.width;

    ov::Tensor input(ov::element::f32, {1, 3, image.height, image.width});
    for (size_t channel = 0; channel < 3; ++channel)
        for (size_t i = 0; i < area; ++i) {
            const float level = image.pixels[3 * i + (is_bgr ? 2 - channel : channel)];
            input.data<float>()[channel * area + i] = (level - mean[channel]) / std_[channel];
        }
    auto request = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32))
                       .create_infer_request();
    request.set_input_tensor(input);
    request.infer();
    const ov::Tensor output = request.get_output_tensor();
    const size_t count = output.get_shape()[1], rows = output.get_shape()[2], columns = output.get_shape()[3];
    const float* logits = output.data<float>();

    const auto down = places(rows, image.height, align_corners);
    const auto across = places(columns, image.width, align_corners);
    std::vector<uint8_t> labels(area);
    std::map<size_t, size_t> pixels;
    for (size_t y = 0; y < image.height; ++y)
        for (size_t x = 0; x < image.width; ++x) {
            float best = 0;
            for (size_t c = 0; c < count; ++c) {
                const float* one = logits + c * rows * columns;
                auto row = [&](size_t r) {
                    const float left = one[r * columns + across[x].first];
                    return left + across[x].share * (one[r * columns + across[x].next] - left);
                };
                const float top = row(down[y].first);
                const float value = top + down[y].share * (row(down[y].next) - top);
                if (c == 0 || value > best) best = value, labels[y * image.width + x] = c;
            }
            ++pixels[labels[y * image.width + x]];
        }
    std::ofstream file_out(target, std::ios::binary);
    file_out << "P5\n" << image.width << " " << image.height << "\n255\n";
    file_out.write(reinterpret_cast<const char*>(labels.data()), labels.size());
    for (const auto& [id, number] : pixels)
        std::cout << (id < classes.size() ? classes[id] : std::to_string(id)) << "\t" << number << "\n";
    return file_out ? 0 : 1;
}

int main(int count, char** words) {
    try {
        if (count != 4) throw std::runtime_error("usage: label MODEL.xml IMAGE.ppm LABELS.pgm");
        return run(words[1], words[2], words[3]);
    } catch (const std::exception& error) {
        std::cerr << "Error: " << error.what() << "\n";
        return 1;
    }
}
