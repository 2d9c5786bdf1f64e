// A convolution with what follows it: normalization over the batch or a scale and a shift of each
// channel, the addition of another array, and relu.
//
// Each part of the batch goes through as much of that as it can while it is in a core's own cache:
// the sums that normalization needs are taken where the convolution has just written, and its
// gradient is made where the convolution's gradients read it.

#include <array>
#include <cmath>

#include "convolution.h"
#include "kernels/channels.h"

namespace plait {
namespace {

// Parts of one piece of memory.
class Arena {
 public:
  void* Take(size_t bytes) {
    const size_t place = size_;
    size_ += Aligned(bytes);
    return memory_ ? memory_ + place : nullptr;
  }
  template <typename Number>
  Number* Take(int64_t count) {
    return static_cast<Number*>(Take(count * sizeof(Number)));
  }

  // Calls `take` twice: to see how much it takes, and to have it.
  template <typename Takes>
  static void Fill(Takes take) {
    Arena arena;
    take(arena);
    arena.memory_ = static_cast<char*>(Memory(Scratch::kOfCall, arena.size_ + 64));
    arena.size_ = 0;
    take(arena);
  }

 private:
  char* memory_ = nullptr;
  size_t size_ = 0;
};

struct Block {
  Geometry g;
  bool normalizes, relu;
  double epsilon;
  int64_t channels, rows, of_input, of_output;  // rows and elements of one example
  float *x, *kernel, *scale, *shift, *residual;
  float *y, *mean, *variance, *z;
};

Block Read(Array& x, Array& kernel, Array& scale, Array& shift, Array& residual, Array& y,
           Array& mean, Array& variance, Array& z, bool normalizes, bool relu, float epsilon,
           Geometry g) {
  g.wanted = kOutput, g.input = DimsOf(x), g.kernel = DimsOf(kernel), g.output = DimsOf(y);
  Check(g);
  Block b{};
  b.normalizes = normalizes, b.relu = relu, b.epsilon = epsilon;
  b.channels = g.output.back();
  b.of_input = Count(g.input) / g.input[0], b.of_output = Count(g.output) / g.output[0];
  b.rows = b.of_output / b.channels;
  const Dims each{b.channels};
  b.x = x.typed_data(), b.kernel = kernel.typed_data(), b.y = y.typed_data();
  b.scale = Optional(scale, each, "the scale");
  b.shift = Optional(shift, each, "the shift");
  b.residual = Optional(residual, g.output, "the array to add");
  if (normalizes) {
    b.mean = Data(mean, each, "the mean");
    b.variance = Data(variance, each, "the variance");
    b.z = Data(z, g.output, "the output of the convolution");
  }
  b.g = std::move(g);
  return b;
}

void Forward(const Block& b, Team& team) {
  const Parts parts = Split(b.g, team.threads());
  const auto convolution = PartedConvolution::Make(b.g, parts);
  char* packed;
  double *means, *squares;
  float *scale, *shift;
  Arena::Fill([&](Arena& arena) {
    packed = static_cast<char*>(arena.Take(convolution->Bytes()));
    means = arena.Take<double>(parts.count * b.channels);
    squares = arena.Take<double>(parts.count * b.channels);
    scale = arena.Take<float>(b.channels);
    shift = arena.Take<float>(b.channels);
  });
  convolution->Begin(b.kernel, packed);
  auto finish = [&](int64_t part, const float* from, const float* scale, const float* shift) {
    const int64_t first = parts.First(part) * b.of_output;
    RunAffine({parts.Size(part) * b.rows, b.channels, from + first, scale, shift,
               b.residual ? b.residual + first : nullptr, b.relu, b.y + first});
  };
  float* output = b.normalizes ? b.z : b.y;
  team.Each(parts.count, [&](int64_t part) {
    const int64_t first = parts.First(part);
    convolution->Run(part, b.x + first * b.of_input, output + first * b.of_output);
    if (b.normalizes)
      RunMoments({parts.Size(part) * b.rows, b.channels, output + first * b.of_output,
                  means + part * b.channels, squares + part * b.channels});
    else if (b.scale || b.shift || b.residual || b.relu)
      finish(part, output, b.scale, b.shift);
  });
  if (!b.normalizes) return;
  // Moments of parts are joined as in Chan, Golub & LeVeque 1983.
  const double total = static_cast<double>(b.rows) * b.g.output[0];
  for (int64_t c = 0; c < b.channels; ++c) {
    double mean = 0, square = 0;
    for (int64_t part = 0; part < parts.count; ++part)
      mean += means[part * b.channels + c] * (parts.Size(part) * b.rows / total);
    for (int64_t part = 0; part < parts.count; ++part) {
      const double away = means[part * b.channels + c] - mean;
      square += squares[part * b.channels + c] + away * away * parts.Size(part) * b.rows;
    }
    b.mean[c] = mean;
    b.variance[c] = square / total;
    const double by = (b.scale ? b.scale[c] : 1.0) / std::sqrt(b.variance[c] + b.epsilon);
    scale[c] = by;
    shift[c] = (b.shift ? b.shift[c] : 0.0) - mean * by;
  }
  team.Each(parts.count, [&](int64_t part) { finish(part, b.z, scale, shift); });
}

struct Gradients {
  const float* by_y;
  float *by_x, *by_kernel, *by_scale, *by_shift, *by_residual;
};

void Backward(const Block& b, const Gradients& d, Team& team) {
  const Geometry by_kernel = b.g.Wanting(kKernel);
  const Parts parts = Split(by_kernel, team.threads());
  const auto to_kernel = PartedConvolution::Make(by_kernel, parts),
             to_input = PartedConvolution::Make(b.g.Wanting(kInput), parts);
  char *of_kernel, *of_input;
  double *sums, *products;
  float *by, *slope, *offset;
  Arena::Fill([&](Arena& arena) {
    of_kernel = static_cast<char*>(arena.Take(to_kernel->Bytes()));
    of_input = static_cast<char*>(arena.Take(to_input->Bytes()));
    sums = arena.Take<double>(parts.count * b.channels);
    products = arena.Take<double>(parts.count * b.channels);
    by = arena.Take<float>(b.channels);
    slope = arena.Take<float>(b.channels);
    offset = arena.Take<float>(b.channels);
  });
  to_kernel->Begin(d.by_kernel, of_kernel);
  if (d.by_x) to_input->Begin(b.kernel, of_input);
  auto sum = [&](int64_t part, float* masked) {
    const int64_t first = parts.First(part) * b.of_output;
    RunSums({parts.Size(part) * b.rows, b.channels, d.by_y + first, b.relu ? b.y + first : nullptr,
             b.normalizes ? b.z + first : nullptr, b.mean, masked, sums + part * b.channels,
             products + part * b.channels});
  };
  auto total = [&](const double* parted, int64_t channel) {
    double total = 0;
    for (int64_t part = 0; part < parts.count; ++part) total += parted[part * b.channels + channel];
    return total;
  };
  auto convolve = [&](int64_t part, float* by_z) {
    const int64_t first = parts.First(part) * b.of_input;
    to_kernel->Run(part, b.x + first, by_z);
    if (d.by_x) to_input->Run(part, d.by_x + first, by_z);
  };
  auto own = [&](int64_t part) {
    const size_t bytes = parts.Size(part) * b.of_output * sizeof(float);
    return static_cast<float*>(Memory(Scratch::kOfPart, bytes));
  };
  if (!b.normalizes) {
    team.Each(parts.count, [&](int64_t part) {
      const int64_t first = parts.First(part) * b.of_output;
      float* masked = d.by_residual ? d.by_residual + first : b.relu ? own(part) : nullptr;
      sum(part, masked);
      float* by_z = masked ? masked : const_cast<float*>(d.by_y) + first;
      if (b.scale) {
        float* scaled = own(part);
        RunAffine({parts.Size(part) * b.rows, b.channels, by_z, b.scale, nullptr, nullptr, false,
                   scaled});
        by_z = scaled;
      }
      convolve(part, by_z);
    });
    if (d.by_shift)
      for (int64_t c = 0; c < b.channels; ++c) d.by_shift[c] = total(sums, c);
    to_kernel->End(team);
    return;
  }
  team.Each(parts.count, [&](int64_t part) {
    sum(part, d.by_residual ? d.by_residual + parts.First(part) * b.of_output : nullptr);
  });
  const double count = static_cast<double>(b.rows) * b.g.output[0];
  for (int64_t c = 0; c < b.channels; ++c) {
    const double all = total(sums, c), product = total(products, c);
    const double inverse = 1 / std::sqrt(b.variance[c] + b.epsilon);
    if (d.by_scale) d.by_scale[c] = product * inverse;
    if (d.by_shift) d.by_shift[c] = all;
    const double factor = (b.scale ? b.scale[c] : 1.0) * inverse;
    const double along = -factor * inverse * inverse * product / count;
    by[c] = factor;
    slope[c] = along;
    offset[c] = -factor * all / count - along * b.mean[c];
  }
  team.Each(parts.count, [&](int64_t part) {
    const int64_t first = parts.First(part) * b.of_output;
    const bool masked = d.by_residual != nullptr;
    float* by_z = own(part);
    RunGradient({parts.Size(part) * b.rows, b.channels,
                 masked ? d.by_residual + first : d.by_y + first,
                 masked || !b.relu ? nullptr : b.y + first, b.z + first, by, slope, offset, by_z});
    convolve(part, by_z);
  });
  to_kernel->End(team);
}

Geometry Window(int64_t groups, Numbers strides, Numbers dilation, Numbers before, Numbers after) {
  Geometry g{};
  g.strides = ToDims(strides), g.dilation = ToDims(dilation);
  g.before = ToDims(before), g.after = ToDims(after), g.groups = groups;
  return g;
}

ffi::Error BlockForward(ffi::ThreadPool pool, Array x, Array kernel, Array scale, Array shift,
                        Array residual, Result y, Result mean, Result variance, Result z,
                        bool normalizes, bool relu, float epsilon, int64_t groups, Numbers strides,
                        Numbers dilation, Numbers before, Numbers after) {
  return Guarded("block", [&] {
    const Block block = Read(x, kernel, scale, shift, residual, *y, *mean, *variance, *z,
                             normalizes, relu, epsilon,
                             Window(groups, strides, dilation, before, after));
    Team team(pool);
    Forward(block, team);
  });
}

ffi::Error BlockBackward(ffi::ThreadPool pool, Array x, Array kernel, Array scale, Array shift,
                         Array residual, Array y, Array mean, Array variance, Array z, Array by_y,
                         Array by_mean, Array by_variance, Result by_x, Result by_kernel,
                         Result by_scale, Result by_shift, Result by_residual, bool normalizes,
                         bool relu, float epsilon, int64_t groups, Numbers strides,
                         Numbers dilation, Numbers before, Numbers after) {
  return Guarded("block", [&] {
    const Block b = Read(x, kernel, scale, shift, residual, y, mean, variance, z, normalizes, relu,
                         epsilon, Window(groups, strides, dilation, before, after));
    if ((!normalizes && by_scale->element_count()) || by_mean.element_count() ||
        by_variance.element_count())
      throw Refused("this gradient is not computed.");
    const Dims each{b.channels};
    Gradients d{};
    d.by_y = Data(by_y, b.g.output, "the gradient by y");
    d.by_x = Optional(*by_x, b.g.input, "the gradient by x");
    d.by_kernel = Data(*by_kernel, b.g.kernel, "the gradient by the kernel");
    d.by_scale = Optional(*by_scale, each, "the gradient by the scale");
    d.by_shift = Optional(*by_shift, each, "the gradient by the shift");
    d.by_residual = Optional(*by_residual, b.g.output, "the gradient by the array to add");
    Team team(pool);
    Backward(b, d, team);
  });
}

// How XLA calls a handler with the attributes that both have.
template <typename Handler>
auto BlockBinding(Handler handler) {
  return Binding(handler, "normalizes", "relu", "epsilon", "groups", "strides", "dilation",
                 "before", "after");
}

}  // namespace
}  // namespace plait

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_block, plait::BlockForward,
                              plait::BlockBinding(plait::BlockForward));

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_block_backward, plait::BlockBackward,
                              plait::BlockBinding(plait::BlockBackward));

#pragma GCC visibility pop
