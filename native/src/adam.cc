// Adam over all variables of a model in one call.

#include "kernels/adam.h"

#include <algorithm>

#include "operands.h"

namespace plait {
namespace {

// Arguments: the learning rate, corrected for bias, then gradients, variables, momenta and
// velocities of all variables, one kind after the other. Results: variables, momenta, velocities.
ffi::Error Update(ffi::ThreadPool pool, ffi::RemainingArgs arguments, ffi::RemainingRets results,
                  float momentum_share, float velocity_share, float epsilon) {
  return Guarded("Adam", [&] {
    constexpr int64_t kPart = 1 << 15;
    const int64_t count = results.size() / 3;
    if (static_cast<int64_t>(results.size()) != 3 * count ||
        static_cast<int64_t>(arguments.size()) != 4 * count + 1)
      throw Refused("numbers of arrays do not fit.");
    auto argument = [&](int64_t index) {
      auto array = arguments.get<Array>(index);
      if (!array.has_value()) throw Refused("an argument is not an array of float32.");
      return *array;
    };
    const Array rate = argument(0);
    if (rate.element_count() != 1) throw Refused("the learning rate is one number.");
    std::vector<Adam> variables;
    std::vector<int64_t> parts{0};  // of the variables before
    for (int64_t i = 0; i < count; ++i) {
      Adam a{};
      a.count = argument(1 + i).element_count();
      auto read = [&](int64_t kind) {
        const Array array = argument(1 + kind * count + i);
        if (static_cast<int64_t>(array.element_count()) != a.count)
          throw Refused("shapes do not fit.");
        return array.typed_data();
      };
      auto written = [&](int64_t kind) {
        auto array = results.get<Array>(kind * count + i);
        if (!array.has_value() || static_cast<int64_t>((*array)->element_count()) != a.count)
          throw Refused("shapes of results do not fit.");
        return (*array)->typed_data();
      };
      a.gradient = read(0), a.variable = read(1), a.momentum = read(2), a.velocity = read(3);
      a.new_variable = written(0), a.new_momentum = written(1), a.new_velocity = written(2);
      a.alpha = *rate.typed_data();
      a.momentum_share = momentum_share, a.velocity_share = velocity_share, a.epsilon = epsilon;
      variables.push_back(a);
      parts.push_back(parts.back() + (a.count + kPart - 1) / kPart);
    }
    Team team(pool);
    team.Each(parts.back(), [&](int64_t part) {
      const int64_t which = std::upper_bound(parts.begin(), parts.end(), part) - parts.begin() - 1;
      Adam a = variables[which];
      const int64_t first = (part - parts[which]) * kPart;
      a.count = std::min(kPart, a.count - first);
      for (const float** from : {&a.gradient, &a.variable, &a.momentum, &a.velocity}) *from += first;
      for (float** to : {&a.new_variable, &a.new_momentum, &a.new_velocity}) *to += first;
      RunAdam(a);
    });
  });
}

}  // namespace
}  // namespace plait

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_adam, plait::Update,
                              plait::ffi::Ffi::Bind()
                                  .Ctx<plait::ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<float>("momentum_share")
                                  .Attr<float>("velocity_share")
                                  .Attr<float>("epsilon"));

#pragma GCC visibility pop
