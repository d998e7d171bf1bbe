// Faults that the fake GPU must catch, one named by the argument; tests/test_fake_gpu.py says what each must end with.
// A case that is not caught prints "not caught".
#include <cublas_v2.h>
#include <curand.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <string>

#define CUDA_KERNEL_LOOP(i, n) \
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += blockDim.x * gridDim.x)

template <typename Dtype>
__global__ void Fill(const int n, const Dtype value, Dtype* out) {
  CUDA_KERNEL_LOOP(index, n) { out[index] = value; }
}

template <typename Dtype>
__global__ void Copy(const int n, const Dtype* in, Dtype* out) {
  CUDA_KERNEL_LOOP(index, n) { out[index] = in[index]; }
}

// A race: who comes last decides.
template <typename Dtype>
__global__ void Last(const int n, Dtype* out) {
  CUDA_KERNEL_LOOP(index, n) { out[0] = index; }
}

template <typename Dtype>
__global__ void Waits(const int n, Dtype* out) {
  CUDA_KERNEL_LOOP(index, n) { __syncthreads(); }
}

typedef float Dtype;  // as within Caffe's templates
const int N = 100;

float* gpu(int count = N) {
  float* memory;
  cudaMalloc(&memory, count * sizeof(float));
  return memory;
}
float at(const float* memory) {
  float value;
  cudaMemcpy(&value, memory, sizeof value, cudaMemcpyDefault);
  return value;
}
void fill(int n, float* out) { Fill<<<1, 512>>>(n, 1.f, out); }
void said(cudaError_t error) { printf("%s\n", cudaGetErrorString(error)); }
int in_a_child(void (*body)()) {
  fflush(stdout);
  if (!fork()) {
    body();
    fflush(stdout);
    _exit(0);
  }
  int status;
  wait(&status);
  return status;
}
cublasHandle_t handle() {
  cublasHandle_t made;
  cublasCreate(&made);
  return made;
}
const float ONE = 1, ZERO = 0;

float host[N];
float* pinned;

std::map<std::string, void (*)()> cases = {
    {"nothing", [] { float* x = gpu(); fill(N, x); cudaFree(x); printf("%g\n", 1.); }},
    {"host pointer to a kernel", [] { fill(N, host); }},
    {"host pointer to cuBLAS", [] { float* x = gpu(); cublasSaxpy(handle(), N, &ONE, host, 1, x, 1); }},
    {"host pointer to cuRAND", [] {
       curandGenerator_t made;
       curandCreateGenerator(&made, CURAND_RNG_PSEUDO_DEFAULT);
       curandGenerateUniform(made, host, N);
     }},
    {"host touches a GPU's memory", [] { gpu()[0] = 1; }},
    {"memory of another GPU", [] { float* x = gpu(); cudaSetDevice(1); fill(N, x); }},
    {"handle of another GPU", [] {
       cublasHandle_t made = handle();
       cudaSetDevice(1);
       printf("status %d\n", cublasSscal(made, N, &ONE, gpu(), 1));
     }},
    {"write beyond", [] { float* x = gpu(); gpu(4096); fill(N + 1024, x); }},  // into the next, but for a page
    {"write just beyond", [] { float* x = gpu(); fill(N + 1, x); cudaFree(x); }},
    {"read beyond", [] { Copy<<<1, 512>>>(N + 1024, gpu(), gpu(4096)); }},
    {"read just beyond", [] { float* x = gpu(); float* y = gpu(N + 1); fill(N, x); Copy<<<1, 512>>>(N + 1, x, y);
                              printf("%g %g\n", at(y + N - 1), std::fabs(at(y + N))); }},
    {"use after free", [] { float* x = gpu(); cudaFree(x); gpu(); fill(N, x); }},
    {"matrix beyond its allocation", [] {
       cublasSgemm(handle(), CUBLAS_OP_N, CUBLAS_OP_N, 10, 10, 10, &ONE, gpu(99), 10, gpu(), 10, &ZERO, gpu(), 10);
     }},
    {"leading dimension too small", [] {
       printf("status %d\n", cublasSgemm(handle(), CUBLAS_OP_N, CUBLAS_OP_N, 10, 10, 10, &ONE, gpu(), 9, gpu(), 10,
                                         &ZERO, gpu(), 10));
     }},
    {"not initialised", [] { printf("%g\n", std::fabs(at(gpu()))); }},
    {"pinned memory not initialised", [] {
       cudaMallocHost((void**)&pinned, 4);
       printf("%g\n", std::fabs(*pinned));
     }},
    {"call after a fork", [] { gpu(); in_a_child([] { said(cudaFree(nullptr)); }); }},
    {"pinned memory after a fork", [] {
       cudaMallocHost((void**)&pinned, 4);
       printf("signal %d\n", in_a_child([] { *pinned = 1; }));
     }},
    {"memory is finite", [] {
       void* memory;
       for (cudaError_t error = cudaSuccess; !error;) said(error = cudaMalloc(&memory, 1 << 28));
     }},
    {"memory is counted in pieces", [] {
       size_t free, before, total;
       cudaMemGetInfo(&before, &total);
       gpu((1 << 19) + 1);
       cudaMemGetInfo(&free, &total);
       printf("%zu\n", (before - free) >> 20);
     }},
    {"race", [] { float* x = gpu(); Last<<<2, 512>>>(1000, x); printf("%g\n", at(x)); }},
    {"unknown kernel with __syncthreads", [] { Waits<<<1, 512>>>(N, gpu()); }},
    {"no blocks", [] { Fill<<<0, 512>>>(0, 1.f, gpu()); said(cudaGetLastError()); }},
    {"too many threads", [] { Fill<<<1, 1025>>>(N, 1.f, gpu()); said(cudaPeekAtLastError()); }},
    {"copy another way", [] { said(cudaMemcpy(gpu(), host, 4, cudaMemcpyDeviceToHost)); }},
    {"copy beyond", [] { said(cudaMemcpy(gpu(), host, 4 * N + 4, cudaMemcpyHostToDevice)); }},
    {"free twice", [] { float* x = gpu(); cudaFree(x); said(cudaFree(x)); }},
    {"event that was destroyed", [] {
       cudaEvent_t event;
       cudaEventCreate(&event);
       cudaEventDestroy(event);
       said(cudaEventRecord(event, nullptr));
     }},
    {"odd count of normal numbers", [] {
       curandGenerator_t made;
       curandCreateGenerator(&made, CURAND_RNG_PSEUDO_DEFAULT);
       printf("status %d\n", curandGenerateNormal(made, gpu(), 3, 0, 1));
     }},
    {"driver is gone", [] {  // registered before the driver's own, and so called after it
       static cublasHandle_t made;
       atexit([] { printf("status %d\n", cublasDestroy(made)); });
       made = handle();
     }},
};

int main(int, char** arguments) {
  cases.at(arguments[1])();
  printf("not caught\n");
}
