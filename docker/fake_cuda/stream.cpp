// libcudart.so.11.0, its streams and events. Everything is done at once, so they only have to be there.
#include <set>

#include "fake.hpp"

using namespace fakecuda;

static std::map<void*, bool>& handles() {  // streams and events: whether an event was recorded
  static auto* all = new std::map<void*, bool>;
  return *all;
}

static cudaError_t made(void** handle) {
  Guard guard(lock);
  if (cudaError_t error = fakecuda_context()) return error;
  handles()[*handle = new char] = false;
  return cudaSuccess;
}

static cudaError_t found(void* handle, bool recorded = false) {
  Guard guard(lock);
  if (cudaError_t error = fakecuda_context()) return error;
  if (!handles().count(handle)) {
    fakecuda_complain("%p is not a stream or an event", handle);
    return failed(cudaErrorInvalidResourceHandle);
  }
  handles()[handle] |= recorded;
  return cudaSuccess;
}

static cudaError_t destroyed(void* handle) {
  Guard guard(lock);
  if (cudaError_t error = found(handle)) return error;
  handles().erase(handle);
  delete (char*)handle;
  return cudaSuccess;
}

extern "C" {
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return made((void**)stream); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return made((void**)stream); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return destroyed(stream); }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return stream ? found(stream) : fakecuda_context(); }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t event, unsigned) { return found(event); }
cudaError_t cudaEventCreate(cudaEvent_t* event) { return made((void**)event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return destroyed(event); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) { return found(event, true); }
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return found(event); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  Guard guard(lock);
  *milliseconds = 1;
  for (cudaEvent_t each : {from, to}) {
    if (cudaError_t error = found(each)) return error;
    if (!handles()[each]) return failed(cudaErrorInvalidResourceHandle);
  }
  return cudaSuccess;
}
}
