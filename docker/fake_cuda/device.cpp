// libcudart.so.11.0, its devices: how many there are, contexts, what a fork and the end of the process do to them.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "fake.hpp"

namespace fakecuda {

std::recursive_mutex lock;

const int MOST = 4;
static Device devices[MOST];
static pid_t owner;  // the process in which CUDA started
static bool driver_is_gone;
static thread_local int current;
static thread_local cudaError_t last;

static std::map<std::string, double>& counts() {
  static auto* all = new std::map<std::string, double>;  // never destroyed: calls come at the very end
  return *all;
}

static int count() {
  static const int there = [] {
    int all = std::min(MOST, atoi(fakecuda_setting("FAKECUDA_GPUS", "1")));
    const char* visible = getenv("CUDA_VISIBLE_DEVICES");
    if (!visible) return all;
    int found = 0;
    for (const char* text = visible; *text; ++found) {  // numbers, up to the first that there is not
      char* end;
      long number = strtol(text, &end, 10);
      if (end == text || number < 0 || number >= all) break;
      text = *end == ',' ? end + 1 : end;
    }
    return found;
  }();
  return there;
}

cudaError_t failed(cudaError_t error) { return last = error; }
Device& device() { return devices[current]; }
int number_of(const Device* device) { return device - devices; }
size_t total_bytes() { return atof(fakecuda_setting("FAKECUDA_GIB", "80")) * (1 << 30); }

Device* device_of(const void* pointer) {
  for (Device& each : devices)
    if (each.seen && (char*)pointer >= each.seen && (char*)pointer < each.seen + SPAN) return &each;
  return nullptr;
}

// Says what a segmentation fault in a device's addresses means; then the process ends by it.
static void explain(int, siginfo_t* information, void*) {
  char* address = (char*)information->si_addr;
  for (Device& each : devices) {
    if (!each.seen) continue;
    if (address >= each.seen && address < each.seen + SPAN)
      fakecuda_complain("the host reads or writes memory of GPU %d", number_of(&each));
    if (address >= each.behind && address < each.behind + SPAN)
      fakecuda_complain("%s reads or writes outside of what is allocated on GPU %d",
                        each.running ? each.running : "a copy", number_of(&each));
  }
  signal(SIGSEGV, SIG_DFL);
}

static cudaError_t started() {
  if (driver_is_gone) return failed(cudaErrorCudartUnloading);
  if (!count()) return failed(cudaErrorNoDevice);
  if (!owner) {
    owner = getpid();
    // As libcuda's own, which is loaded at the first call: it runs before the destructors of what was loaded earlier.
    if (!strcmp(fakecuda_setting("FAKECUDA_EXIT", ""), "strict")) atexit([] { driver_is_gone = true; });
    struct sigaction action = {};
    action.sa_sigaction = explain;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
  }
  if (owner != getpid()) {
    fakecuda_complain("CUDA is called in a process that was forked after CUDA had started");
    return failed(cudaErrorInitializationError);
  }
  return cudaSuccess;
}

static char* addresses() {
  return (char*)mmap(nullptr, SPAN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

}  // namespace fakecuda

using namespace fakecuda;

extern "C" {

const char* fakecuda_setting(const char* name, const char* otherwise) {
  const char* value = getenv(name);
  return value && *value ? value : otherwise;
}

bool fakecuda_computes() {
  static const bool computes = strcmp(fakecuda_setting("FAKECUDA_NOOP", "0"), "1");
  return computes;
}

bool fakecuda_driver_is_gone() { return driver_is_gone; }

void fakecuda_complain(const char* format, ...) {
  va_list more;
  va_start(more, format);
  fprintf(stderr, "fake CUDA: ");
  vfprintf(stderr, format, more);
  fprintf(stderr, "\n");
  va_end(more);
}

void fakecuda_count(const char* what, double amount) { counts()[what] += amount; }
double fakecuda_counted(const char* what) { return counts()[what]; }

int fakecuda_current() { return current; }

cudaError_t fakecuda_context() {
  Guard guard(lock);
  cudaError_t error = started();
  if (error || device().seen) return error;
  Device& here = device();
  here.seen = addresses(), here.behind = addresses();
  if (here.seen == MAP_FAILED || here.behind == MAP_FAILED) {
    fakecuda_complain("the system gives no addresses for GPU %d", current);
    abort();
  }
  madvise(here.behind, SPAN, MADV_DONTFORK);
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* number) {
  Guard guard(lock);
  *number = 0;
  cudaError_t error = owner || !count() ? started() : cudaSuccess;
  if (!error) *number = count();
  return error;
}

cudaError_t cudaGetDevice(int* device) {
  Guard guard(lock);
  *device = current;
  return started();
}

static cudaError_t there_is(int device) {
  cudaError_t error = started();
  return error ? error : device < 0 || device >= count() ? failed(cudaErrorInvalidDevice) : cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  Guard guard(lock);
  cudaError_t error = there_is(device);
  if (!error) current = device;
  return error;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  Guard guard(lock);
  int major, minor;
  sscanf(fakecuda_setting("FAKECUDA_CAPABILITY", "8.0"), "%d.%d", &major, &minor);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = minor; break;
    default: fakecuda_complain("unknown attribute %d of a device", attribute); abort();
  }
  return there_is(device);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  Guard guard(lock);
  memset(properties, 0, sizeof *properties);
  strcpy(properties->name, "fake");
  properties->totalGlobalMem = total_bytes();
  properties->maxThreadsPerBlock = 1024;
  cudaDeviceGetAttribute(&properties->major, cudaDevAttrComputeCapabilityMajor, device);
  return cudaDeviceGetAttribute(&properties->minor, cudaDevAttrComputeCapabilityMinor, device);
}

cudaError_t cudaDriverGetVersion(int* version) {
  int major = 0, minor = 0;
  if (count()) sscanf(fakecuda_setting("FAKECUDA_DRIVER", "12.2"), "%d.%d", &major, &minor);
  *version = 1000 * major + 10 * minor;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDA_VERSION;
  return cudaSuccess;
}

cudaError_t cudaPeekAtLastError() { return last; }

cudaError_t cudaGetLastError() {
  cudaError_t error = last;
  last = cudaSuccess;
  return error;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInitializationError: return "initialization error";
    case cudaErrorCudartUnloading: return "driver shutting down";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
  }
  return "unrecognized error code";
}
}
