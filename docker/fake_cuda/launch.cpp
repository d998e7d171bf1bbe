// libcudart.so.11.0, its launches. The kernels of kernels.hpp enroll here; where nvcc has compiled the host's side, a
// kernel is found by its name in libfakekernels.so.
#include <dlfcn.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <unordered_map>
#include <vector>

#include "fake.hpp"

struct FakeIndex {
  unsigned x, y, z;
};
FakeIndex threadIdx, blockIdx, blockDim, gridDim;

namespace fakecuda {

const unsigned MOST_THREADS = 1024;  // of a block

struct Kernel {
  FakeRunner runner;
  std::string name;
};

static std::unordered_map<const void*, Kernel>& kernels() {
  static auto* all = new std::unordered_map<const void*, Kernel>;
  return *all;
}

static std::unordered_map<const void*, std::string>& names() {  // that nvcc's code registers
  static auto* all = new std::unordered_map<const void*, std::string>;
  return *all;
}

static const Kernel& kernel_of(const void* function) {
  auto found = kernels().find(function);
  if (found != kernels().end()) return found->second;
  const std::string name = names().count(function) ? names()[function] : "without a name";
  static void* library = dlopen("libfakekernels.so", RTLD_LAZY | RTLD_LOCAL);
  found = kernels().find(library ? dlsym(library, name.c_str()) : nullptr);
  if (found == kernels().end()) {
    fakecuda_complain("no kernel %s: %s", name.c_str(), library ? "libfakekernels.so does not have it" : dlerror());
    abort();
  }
  return kernels()[function] = found->second;
}

// ---- a block's threads as fibers: each runs to its next __syncthreads, or its end

static struct {
  ucontext_t scheduler, threads[MOST_THREADS];
  unsigned running;
  bool is_active, waits;
  void (*body)(void*);
  void* context;
} fibers;

static void fiber() { fibers.body(fibers.context); }

static void run_block(unsigned count) {
  const size_t STACK = 32768;
  static std::vector<char> stacks(MOST_THREADS * STACK);
  for (unsigned t = 0; t < count; ++t) {
    ucontext_t& thread = fibers.threads[t];
    getcontext(&thread);
    thread.uc_stack.ss_sp = &stacks[t * STACK], thread.uc_stack.ss_size = STACK;
    thread.uc_link = &fibers.scheduler;
    makecontext(&thread, fiber, 0);
  }
  std::vector<unsigned> left(count);
  for (unsigned t = 0; t < count; ++t) left[t] = t;
  while (!left.empty()) {
    std::vector<unsigned> waiting;
    for (unsigned t : left) {
      fibers.running = t, fibers.waits = false, threadIdx = {t, 0, 0};
      swapcontext(&fibers.scheduler, &fibers.threads[t]);
      if (fibers.waits) waiting.push_back(t);
    }
    left = waiting;
  }
}

static bool has_syncthreads() {
  return strstr(device().running, "2im_nd_gpu_kernel") || strstr(device().running, "2col_nd_gpu_kernel");
}

}  // namespace fakecuda

using namespace fakecuda;

extern "C" {

void fakecuda_enroll(const void* kernel, FakeRunner runner, const char* text) {
  const char* name = strstr(text, "K = ") + strlen("K = ");
  kernels()[kernel] = {runner, std::string(name, strcspn(name, ";]"))};
}

void fakecuda_syncthreads() {
  if (!fibers.is_active) {
    fakecuda_complain("%s calls __syncthreads: has_syncthreads in launch.cpp must name it", device().running);
    abort();
  }
  fibers.waits = true;
  swapcontext(&fibers.threads[fibers.running], &fibers.scheduler);
}

const char* fakecuda_running() { return device().running; }

void fakecuda_run_threads(dim3 grid, dim3 block, void (*body)(void*), void* context) {
  static const bool is_shuffled = !strcmp(fakecuda_setting("FAKECUDA_ORDER", ""), "shuffled");
  gridDim = {grid.x, 1, 1}, blockDim = {block.x, 1, 1};
  if (has_syncthreads()) {
    fibers.body = body, fibers.context = context, fibers.is_active = true;
    for (unsigned b = 0; b < grid.x; ++b) {
      blockIdx = {b, 0, 0};
      run_block(block.x);
    }
    fibers.is_active = false;
  } else if (is_shuffled) {
    std::vector<unsigned> threads(size_t(grid.x) * block.x);
    for (size_t k = 0; k < threads.size(); ++k) threads[k] = k;
    static std::mt19937 random(1);
    std::shuffle(threads.begin(), threads.end(), random);
    for (unsigned k : threads) {
      blockIdx = {k / block.x, 0, 0}, threadIdx = {k % block.x, 0, 0};
      body(context);
    }
  } else {  // one thread: every kernel has a CUDA_KERNEL_LOOP, in which it takes all
    gridDim = blockDim = {1, 1, 1};
    blockIdx = threadIdx = {0, 0, 0};
    body(context);
  }
}

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t, cudaStream_t) {
  Guard guard(lock);
  if (cudaError_t error = fakecuda_context()) return error;
  const Kernel& kernel = kernel_of(function);
  bool has_one_dimension = grid.y * grid.z * block.y * block.z == 1;
  if (!grid.x || grid.x > 0x7fffffff || !block.x || block.x > MOST_THREADS || !has_one_dimension) {
    fakecuda_complain("%s is launched with %u x %u x %u blocks of %u x %u x %u threads", kernel.name.c_str(), grid.x,
                      grid.y, grid.z, block.x, block.y, block.z);
    return failed(cudaErrorInvalidConfiguration);
  }
  fakecuda_count("launches", 1);
  if (!fakecuda_computes()) return cudaSuccess;
  device().running = kernel.name.c_str();
  kernel.runner(arguments, grid, block);
  device().running = nullptr;
  return cudaSuccess;
}

// ---- what nvcc's code calls

static thread_local struct {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
} pushed;

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  pushed = {grid, block, shared, stream};
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, cudaStream_t* stream) {
  *grid = pushed.grid, *block = pushed.block, *shared = pushed.shared, *stream = pushed.stream;
  return cudaSuccess;
}

void** __cudaRegisterFatBinary(void*) {
  static void* handle;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
char __cudaInitModule(void**) { return 1; }

void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  Guard guard(lock);
  names()[host] = name;
}
}
