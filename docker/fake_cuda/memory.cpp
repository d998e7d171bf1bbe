// libcudart.so.11.0, its memory. An allocation ends at a page that is not there, another such page is before the next
// one, and its addresses are never given again: what reads or writes beyond it, or after cudaFree, ends the process.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "fake.hpp"

namespace fakecuda {

const size_t PAGE = 4096, ALIGN = 256;
const size_t PIECE = size_t(2) << 20;      // the driver takes memory in such pieces, and small ones share one
const size_t CONTEXT = size_t(400) << 20;  // about what a context takes of a GPU
const int NAN_BYTE = 0xff;                 // four of them are a NaN, and so are eight

static size_t rounded_up(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }
static bool is_large(size_t size) { return size >= PIECE / 2; }
size_t taken_bytes(const Device& device) { return CONTEXT + device.large + rounded_up(device.small, PIECE); }

static void account(Device& device, size_t size, int sign) {
  if (is_large(size)) device.large += sign * rounded_up(size, PIECE);
  else device.small += sign * rounded_up(size, 512);
}

static bool is_allocated(const Device& device, const void* pointer, size_t size) {
  size_t offset = (char*)pointer - device.seen;
  auto next = device.sizes.upper_bound(offset);
  return next != device.sizes.begin() && (--next, offset + size <= next->first + next->second);
}

static std::map<void*, size_t>& pinned() {
  static auto* all = new std::map<void*, size_t>;  // never destroyed: calls come at the very end
  return *all;
}

}  // namespace fakecuda

using namespace fakecuda;

extern "C" {

void* fakecuda_bytes(const void* pointer, size_t size, const char* what) {
  Device* there = device_of(pointer);
  if (!there) fakecuda_complain("%s is given %p, which is not a GPU's memory", what, pointer);
  else if (there != &device())
    fakecuda_complain("%s on GPU %d is given memory of GPU %d", what, fakecuda_current(), number_of(there));
  else if (!is_allocated(*there, pointer, 0))
    fakecuda_complain("%s is given %p, where nothing is allocated", what, pointer);
  else if (!is_allocated(*there, pointer, size))
    fakecuda_complain("%s takes %zu bytes from %p on, beyond what is allocated there", what, size, pointer);
  else
    return there->behind + ((char*)pointer - there->seen);
  abort();
}

cudaError_t cudaMalloc(void** pointer, size_t size) {
  Guard guard(lock);
  *pointer = nullptr;
  if (cudaError_t error = fakecuda_context()) return error;
  if (!size) return cudaSuccess;
  Device& here = device();
  account(here, size, 1);
  if (taken_bytes(here) > total_bytes()) {
    account(here, size, -1);
    return failed(cudaErrorMemoryAllocation);
  }
  here.peak = std::max(here.peak, taken_bytes(here));
  size_t start = here.top, whole = rounded_up(size, PAGE);
  here.top += whole + PAGE;
  if (here.top > SPAN) {
    fakecuda_complain("GPU %d has given all its addresses: an end to this process gives new ones", fakecuda_current());
    abort();
  }
  mprotect(here.behind + start, whole, PROT_READ | PROT_WRITE);
  if (fakecuda_computes()) memset(here.behind + start, NAN_BYTE, whole);
  size_t offset = start + (whole - size) / ALIGN * ALIGN;
  here.sizes[offset] = size;
  *pointer = here.seen + offset;
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  Guard guard(lock);
  cudaError_t error = fakecuda_context();
  if (error || !pointer) return error;
  Device* there = device_of(pointer);
  size_t offset = there ? (char*)pointer - there->seen : 0;
  if (!there || !there->sizes.count(offset)) {
    fakecuda_complain("cudaFree of %p, which is not allocated", pointer);
    return failed(cudaErrorInvalidValue);
  }
  size_t size = there->sizes[offset], start = offset / PAGE * PAGE, end = rounded_up(offset + size, PAGE);
  char* behind = there->behind;
  auto is_touched = [](char byte) { return (unsigned char)byte != NAN_BYTE; };
  if (fakecuda_computes() && (std::any_of(behind + offset + size, behind + end, is_touched) ||
                              std::any_of(behind + start, behind + offset, is_touched))) {
    fakecuda_complain("something was written beside an allocation of %zu bytes", size);
    abort();
  }
  account(*there, size, -1);
  there->sizes.erase(offset);
  mmap(behind + start, end - start, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  madvise(behind + start, end - start, MADV_DONTFORK);
  return cudaSuccess;
}

// Pinned memory: a forked process does not have it, as with the driver's.
cudaError_t cudaMallocHost(void** pointer, size_t size) {
  Guard guard(lock);
  if (cudaError_t error = fakecuda_context()) return error;
  size_t whole = rounded_up(std::max(size, size_t(1)), PAGE);
  *pointer = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (*pointer == MAP_FAILED) return failed(cudaErrorMemoryAllocation);
  madvise(*pointer, whole, MADV_DONTFORK);
  if (fakecuda_computes()) memset(*pointer, NAN_BYTE, whole);
  pinned()[*pointer] = whole;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  Guard guard(lock);
  cudaError_t error = fakecuda_context();
  if (error || !pointer) return error;
  auto found = pinned().find(pointer);
  if (found == pinned().end()) {
    fakecuda_complain("cudaFreeHost of %p, which is not allocated", pointer);
    return failed(cudaErrorInvalidValue);
  }
  munmap(found->first, found->second);
  pinned().erase(found);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  Guard guard(lock);
  if (cudaError_t error = fakecuda_context()) return error;
  *total = total_bytes();
  *free = *total - std::min(*total, taken_bytes(device()));
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  Guard guard(lock);
  cudaError_t error = fakecuda_context();
  if (error || !size) return error;
  Device *target = device_of(to), *source = device_of(from);
  cudaMemcpyKind actual = cudaMemcpyKind(2 * bool(source) + bool(target));
  if (kind != cudaMemcpyDefault && kind != actual) {
    fakecuda_complain("cudaMemcpy(%p, %p) goes another way than it says", to, from);
    return failed(cudaErrorInvalidValue);
  }
  if ((target && !is_allocated(*target, to, size)) || (source && !is_allocated(*source, from, size))) {
    fakecuda_complain("cudaMemcpy of %zu bytes from %p to %p goes beyond what is allocated", size, from, to);
    return failed(cudaErrorInvalidValue);
  }
  static const char* const ways[] = {"host to host", "host to GPU", "GPU to host", "GPU to GPU"};
  fakecuda_count(std::string("bytes ").append(ways[actual]).c_str(), size);
  fakecuda_count(std::string("copies ").append(ways[actual]).c_str(), 1);
  if (fakecuda_computes() || !(target || source))
    memcpy(target ? target->behind + ((char*)to - target->seen) : to,
           source ? source->behind + ((char*)from - source->seen) : from, size);
  else if (!target)
    memset(to, 0, size);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind, cudaStream_t) {
  return cudaMemcpy(to, from, size, kind);
}

cudaError_t cudaMemset(void* to, int value, size_t size) {
  Guard guard(lock);
  cudaError_t error = fakecuda_context();
  if (error || !size) return error;
  void* bytes = fakecuda_bytes(to, size, "cudaMemset");
  if (fakecuda_computes()) memset(bytes, value, size);
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  Guard guard(lock);
  if (cudaError_t error = fakecuda_context()) return error;
  Device* there = device_of(pointer);
  *attributes = {there ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered, there ? number_of(there) : 0,
                 there ? const_cast<void*>(pointer) : nullptr, nullptr};
  return cudaSuccess;
}
}
