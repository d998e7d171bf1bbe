// Included before each .cu file that g++ compiles: what nvcc gives device code.
#pragma once
#include <cfloat>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "fake.hpp"

// One kernel runs at a time, and of it one thread.
struct FakeIndex {
  unsigned x, y, z;
};
extern FakeIndex threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { fakecuda_syncthreads(); }
inline float atomicAdd(float* address, float value) {
  float old = *address;
  *address += value;
  return old;
}
inline unsigned long long atomicCAS(unsigned long long* address, unsigned long long compare, unsigned long long value) {
  unsigned long long old = *address;
  if (old == compare) *address = value;
  return old;
}
inline double __longlong_as_double(long long value) {
  double result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}
inline long long __double_as_longlong(double value) {
  long long result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}

inline int min(int a, int b) { return b < a ? b : a; }
inline int max(int a, int b) { return a < b ? b : a; }
// A GPU's pass over a NaN.
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
inline double min(double a, float b) { return std::fmin(a, b); }
inline double max(double a, float b) { return std::fmax(a, b); }
inline double min(float a, double b) { return std::fmin(a, b); }
inline double max(float a, double b) { return std::fmax(a, b); }
// Those for float, where C has one for double alone.
using std::abs;
using std::ceil;
using std::exp;
using std::floor;
using std::log;
using std::pow;
using std::sqrt;
using std::tanh;

namespace fakecuda {

// A kernel's argument; of a pointer, where its bytes are.
template <class T>
T passed(void* argument) {
  T value = *static_cast<T*>(argument);
  if constexpr (std::is_pointer<T>::value)
    if (value) value = static_cast<T>(fakecuda_bytes(value, 0, fakecuda_running()));
  return value;
}

template <auto K, class F>
struct Launch;

template <auto K, class... A>
struct Launch<K, void (*)(A...)> {
  template <std::size_t... I>
  static void unpack(void** arguments, dim3 grid, dim3 block, std::index_sequence<I...>) {
    std::tuple<A...> values(passed<A>(arguments[I])...);
    auto thread = [](void* context) { std::apply(K, *static_cast<std::tuple<A...>*>(context)); };
    fakecuda_run_threads(grid, block, thread, &values);
  }
  static void run(void** arguments, dim3 grid, dim3 block) {
    unpack(arguments, grid, block, std::index_sequence_for<A...>());
  }
  static bool enroll() {
    fakecuda_enroll(reinterpret_cast<const void*>(K), &run, __PRETTY_FUNCTION__);  // holds 'K = name;'
    return true;
  }
  static inline const bool is_enrolled = enroll();

  dim3 grid, block;
  void operator()(A... given) const {
    (void)is_enrolled;
    void* arguments[] = {static_cast<void*>(&given)..., nullptr};
    cudaLaunchKernel(reinterpret_cast<const void*>(K), grid, block, arguments, 0, nullptr);
  }
};

// cu_to_cpp.py writes launch<&kernel>(grid, block)(arguments) for kernel<<<grid, block>>>(arguments).
template <auto K>
Launch<K, decltype(K)> launch(dim3 grid, dim3 block) {
  return {grid, block};
}

}  // namespace fakecuda
