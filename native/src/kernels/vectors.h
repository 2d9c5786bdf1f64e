// Vectors of floats as wide as the level's registers, and functions of them.
//
// NaN and infinities pass through; errors are a few units in the last place.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "levels.h"
#include "sharing.h"

namespace plait::PLAIT_LEVEL {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#define PLAIT_LANES 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#define PLAIT_LANES 0, 1, 2, 3, 4, 5, 6, 7
#else
constexpr int kWidth = 4;
#define PLAIT_LANES 0, 1, 2, 3
#endif

// Arithmetic and comparisons are those of GCC's vector extension; a comparison gives Ints, and
// `condition ? a : b` chooses lane by lane.
typedef float Floats __attribute__((vector_size(4 * kWidth)));
typedef int32_t Ints __attribute__((vector_size(4 * kWidth)));
typedef uint32_t Bits __attribute__((vector_size(4 * kWidth)));  // Ints that may overflow

constexpr Ints kLanes = {PLAIT_LANES};
#undef PLAIT_LANES

// The same at any address, also that of an array of floats.
typedef float Unaligned __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));

PLAIT_INLINE int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }

inline Floats Load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
inline void Store(float* to, Floats values) { *reinterpret_cast<Unaligned*>(to) = values; }
inline Floats All(float value) { return value - Floats{}; }

// All bits of the lanes before `count`.
inline Ints Before(int64_t count) { return kLanes < static_cast<int32_t>(count); }

#if defined(__AVX512F__)
inline __mmask16 BitsBefore(int64_t count) { return count > 0 ? (1 << count) - 1 : 0; }
#endif

// The first `count` floats, none to kWidth; the rest is 0, and is not read or written.
inline Floats Load(const float* from, int64_t count) {
  if (count >= kWidth) return Load(from);
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(BitsBefore(count), from);
#elif defined(__AVX2__)
  return _mm256_maskload_ps(from, reinterpret_cast<__m256i>(Before(count)));
#else
  Floats values{};
  for (int64_t i = 0; i < count; ++i) values[i] = from[i];
  return values;
#endif
}

inline void Store(float* to, Floats values, int64_t count) {
  if (count >= kWidth) return Store(to, values);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, BitsBefore(count), values);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(to, reinterpret_cast<__m256i>(Before(count)), values);
#else
  for (int64_t i = 0; i < count; ++i) to[i] = values[i];
#endif
}

// Comparisons with NaN are false, so that NaN is not clamped away.
inline Floats Clamp(Floats x, float low, float high) {
  x = x < low ? All(low) : x;
  return x > high ? All(high) : x;
}

// 2^n for -127 < n < 128; 0 for -127, infinity for 128.
inline Floats PowerOfTwo(Ints n) { return reinterpret_cast<Floats>((n + 127) << 23); }

// e^x as (1 + rest) 2^n, |rest| < 0.42. The rest is r + r^2 p(r) with |r| <= log(2) / 2, where p is a
// minimax fit, of relative error 1.4e-8. Log 2 is taken away in two parts (Cody & Waite 1980).
struct Exponential {
  Floats rest;
  Ints n;
};

inline Exponential Split(Floats x) {
  constexpr float kShift = 0x1.8p23f;  // with it added, the lowest bits are a whole number
  const Floats shifted = x * 0x1.715476p0f + kShift;
  const Floats whole = shifted - kShift;
  const Floats r = x - whole * 0x1.63p-1f + whole * 0x1.bd0106p-13f;
  Floats p = r * 0x1.6bebfep-10f + 0x1.1227bp-7f;
  p = p * r + 0x1.555674p-5f;
  p = p * r + 0x1.5554bp-3f;
  p = p * r + 0x1.fffffep-2f;
  return {p * (r * r) + r, reinterpret_cast<Ints>(reinterpret_cast<Bits>(shifted) - 0x4B400000)};
}

inline Floats Exp(Floats x) {
  const Exponential e = Split(Clamp(x, -104.0f, 89.0f));
  const Ints half = e.n >> 1;  // in two steps, one of which alone neither vanishes nor overflows
  return (e.rest + 1.0f) * PowerOfTwo(half) * PowerOfTwo(e.n - half);
}

// e^x of what is not positive, in fewer steps; 0 below -87, and anything where x is positive.
inline Floats ExpOfNegative(Floats x) {
  const Exponential e = Split(x);
  const Bits bits = reinterpret_cast<Bits>(e.rest + 1.0f) + (reinterpret_cast<Bits>(e.n) << 23);
  return x < -87.0f ? Floats{} : x == x ? reinterpret_cast<Floats>(bits) : x;
}

inline Floats Sigmoid(Floats x) {
  const Exponential e = Split(Clamp(-x, -87.0f, 88.7f));
  return 1.0f / ((e.rest + 1.0f) * PowerOfTwo(e.n) + 1.0f);
}

// (e^2x - 1) / (e^2x + 1), which keeps the digits of small x.
inline Floats Tanh(Floats x) {
  const Exponential e = Split(Clamp(x + x, -20.0f, 20.0f));
  const Floats scale = PowerOfTwo(e.n);
  const Floats less_one = e.rest * scale + (scale - 1.0f);
  return less_one / (less_one + 2.0f);
}

// What `join` makes of all lanes: of halves, of their halves, and so on.
template <int step = kWidth / 2, typename Join>
inline float Fold(Floats x, Join join) {
  if constexpr (step == 0)
    return x[0];
  else
    return Fold<step / 2>(join(x, __builtin_shuffle(x, kLanes ^ step)), join);
}

inline float Sum(Floats x) {
  return Fold(x, [](Floats a, Floats b) { return a + b; });
}

// Rows become columns: squares of `step` lanes change places, then those twice as large.
template <int step = 1>
inline void Transpose(Floats (&rows)[kWidth]) {
  if constexpr (step < kWidth) {
    const Ints second = (kLanes & step) == step;
    const Ints upper = second ? kLanes + (kWidth - step) : kLanes;
    const Ints lower = second ? kLanes + kWidth : kLanes + step;
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i)
      if (!(i & step)) {
        const Floats a = rows[i], b = rows[i + step];
        rows[i] = __builtin_shuffle(a, b, upper);  // lanes from kWidth on are those of b
        rows[i + step] = __builtin_shuffle(a, b, lower);
      }
    Transpose<step * 2>(rows);
  }
}

}  // namespace plait::PLAIT_LEVEL
