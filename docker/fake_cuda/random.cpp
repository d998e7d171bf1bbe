// libcurand.so.10: other numbers than cuRAND's, but as there they depend on the seed and the offset alone.
#include <curand.h>

#include <random>
#include <set>

#include "fake.hpp"

struct curandGenerator_st {
  int device;
  unsigned long long seed = 0, offset = 0;
  bool is_ready = false;
  std::mt19937_64 engine = std::mt19937_64();
};

static std::set<curandGenerator_t>& generators() {
  static auto* all = new std::set<curandGenerator_t>;
  return *all;
}

static curandStatus_t fault(curandGenerator_t generator) {
  if (fakecuda_context()) return CURAND_STATUS_INITIALIZATION_FAILED;
  if (!generators().count(generator)) return CURAND_STATUS_NOT_INITIALIZED;
  if (generator->device == fakecuda_current()) return CURAND_STATUS_SUCCESS;
  fakecuda_complain("cuRAND on GPU %d is given a generator of GPU %d", fakecuda_current(), generator->device);
  return CURAND_STATUS_PREEXISTING_FAILURE;
}

template <class T, class Draw>
static curandStatus_t fill(curandGenerator_t generator, T* output, size_t count, Draw draw) {
  if (curandStatus_t status = fault(generator)) return status;
  T* values = (T*)fakecuda_bytes(output, count * sizeof(T), "cuRAND");
  if (!fakecuda_computes()) return CURAND_STATUS_SUCCESS;
  if (!generator->is_ready) {
    generator->engine.seed(generator->seed);
    generator->engine.discard(generator->offset);
    generator->is_ready = true;
  }
  for (size_t k = 0; k < count; ++k) values[k] = draw(generator->engine);
  return CURAND_STATUS_SUCCESS;
}

template <class T>
static T uniform(std::mt19937_64& engine) {  // in (0, 1]
  return T(((engine() >> 32) + 1) / 4294967296.);
}

template <class T>
static curandStatus_t normal(curandGenerator_t generator, T* output, size_t count, T mean, T deviation) {
  if (count % 2) return CURAND_STATUS_LENGTH_NOT_MULTIPLE;
  std::normal_distribution<T> distribution(mean, deviation);
  return fill(generator, output, count, [&](std::mt19937_64& engine) { return distribution(engine); });
}

extern "C" {

curandStatus_t curandCreateGenerator(curandGenerator_t* generator, curandRngType_t) {
  if (fakecuda_context()) return CURAND_STATUS_INITIALIZATION_FAILED;
  generators().insert(*generator = new curandGenerator_st{fakecuda_current()});
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandDestroyGenerator(curandGenerator_t generator) {
  if (fakecuda_driver_is_gone() || !generators().erase(generator)) return CURAND_STATUS_NOT_INITIALIZED;
  delete generator;
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t generator, unsigned long long seed) {
  if (curandStatus_t status = fault(generator)) return status;
  generator->seed = seed, generator->is_ready = false;
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandSetGeneratorOffset(curandGenerator_t generator, unsigned long long offset) {
  if (curandStatus_t status = fault(generator)) return status;
  generator->offset = offset, generator->is_ready = false;
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandGenerate(curandGenerator_t generator, unsigned* output, size_t count) {
  return fill(generator, output, count, [](std::mt19937_64& engine) { return unsigned(engine() >> 32); });
}
curandStatus_t curandGenerateUniform(curandGenerator_t generator, float* output, size_t count) {
  return fill(generator, output, count, uniform<float>);
}
curandStatus_t curandGenerateUniformDouble(curandGenerator_t generator, double* output, size_t count) {
  return fill(generator, output, count, uniform<double>);
}
curandStatus_t curandGenerateNormal(curandGenerator_t generator, float* output, size_t count, float mean,
                                    float deviation) {
  return normal(generator, output, count, mean, deviation);
}
curandStatus_t curandGenerateNormalDouble(curandGenerator_t generator, double* output, size_t count, double mean,
                                          double deviation) {
  return normal(generator, output, count, mean, deviation);
}
}
