// What the parts of the fake CUDA know of each other. Those of libcudart are exported to the others.
#pragma once
#include <map>
#include <mutex>
#include <string>

#include "cuda_runtime.h"

extern "C" {
const char* fakecuda_setting(const char* name, const char* otherwise);  // a variable of the environment
bool fakecuda_computes();                                               // not with FAKECUDA_NOOP=1
bool fakecuda_driver_is_gone();                                         // at the exit, with FAKECUDA_EXIT=strict
void fakecuda_complain(const char* format, ...);                        // a line on stderr
void fakecuda_count(const char* what, double amount);                   // of "launches", "bytes GPU to host" ...
double fakecuda_counted(const char* what);                              // in this process, for tests
int fakecuda_current();                                                 // number of the current device
cudaError_t fakecuda_context();  // every call begins with it: starts CUDA on the current device, or says why not

// Where the bytes of a device pointer are. Ends the process, with a line that names `what`, if `size` bytes from it on
// are not allocated on the current device.
void* fakecuda_bytes(const void* pointer, size_t size, const char* what);

// How launch.cpp calls a kernel of kernels.hpp.
typedef void (*FakeRunner)(void** arguments, dim3 grid, dim3 block);
void fakecuda_enroll(const void* kernel, FakeRunner runner, const char* text);  // text: 'K = ' and its name
void fakecuda_run_threads(dim3 grid, dim3 block, void (*body)(void*), void* context);
void fakecuda_syncthreads();
const char* fakecuda_running();  // the name of the kernel that runs
}

// Within libcudart.
namespace fakecuda {

extern std::recursive_mutex lock;
typedef std::lock_guard<std::recursive_mutex> Guard;

const size_t SPAN = size_t(8) << 40;  // bytes of addresses of a device; none is given twice

struct Device {
  char* seen = nullptr;    // the addresses that callers get: the host cannot touch them
  char* behind = nullptr;  // where the bytes are
  size_t top = 0;          // addresses below it have been given
  std::map<size_t, size_t> sizes;        // of what is allocated, by its offset
  size_t large = 0, small = 0, peak = 0;  // bytes
  const char* running = nullptr;          // the name of a kernel
};

cudaError_t failed(cudaError_t error);    // remembered for cudaGetLastError
Device& device();                         // the current one, which has a context
Device* device_of(const void* pointer);   // nullptr for memory of the host
int number_of(const Device* device);
size_t total_bytes();                     // of a device
size_t taken_bytes(const Device& device);

}  // namespace fakecuda
