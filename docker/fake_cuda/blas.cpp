// libcublas.so.11: OpenBLAS on the bytes behind device pointers. Every matrix and vector must be allocated whole.
//
// With FAKECUDA_GEMM=sequential a product is summed in k's order, as by a plain kernel of a GPU: other last digits than
// the CPU's. With CUBLAS_TF32_TENSOR_OP_MATH, unless NVIDIA_TF32_OVERRIDE=0, factors are first rounded to TF32.
#include <cblas.h>
#include <cublas_v2.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "fake.hpp"

struct cublasContext {
  int device;
  cudaStream_t stream;
  cublasMath_t mode;
};

static std::set<cublasHandle_t>& handles() {
  static auto* all = new std::set<cublasHandle_t>;
  return *all;
}

static cublasStatus_t fault(cublasHandle_t handle, const char* what) {
  if (fakecuda_context()) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!handles().count(handle)) {
    fakecuda_complain("%s is given %p, which is not a handle", what, handle);
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  fakecuda_count(what, 1);
  if (handle->device == fakecuda_current()) return CUBLAS_STATUS_SUCCESS;
  fakecuda_complain("%s on GPU %d is given a handle of GPU %d", what, fakecuda_current(), handle->device);
  return CUBLAS_STATUS_EXECUTION_FAILED;
}

// How many elements a column-major matrix, or a vector as a matrix of one row, spans.
static size_t span(int rows, int columns, int stride) {
  return rows && columns ? size_t(std::abs(stride)) * (columns - 1) + rows : 0;
}

template <class T>
static T* bytes(const T* given, size_t count, const char* what) {
  return count ? (T*)fakecuda_bytes(given, count * sizeof(T), what) : nullptr;
}

static float to_tf32(float value) {  // 10 bits of mantissa: the nearest, halves away from zero
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7f800000) != 0x7f800000) bits = (bits + 0x1000) & 0xffffe000;
  memcpy(&value, &bits, sizeof bits);
  return value;
}

static bool takes_tf32(cublasHandle_t handle) {
  static const bool is_forbidden = !strcmp(fakecuda_setting("NVIDIA_TF32_OVERRIDE", ""), "0");
  return handle->mode == CUBLAS_TF32_TENSOR_OP_MATH && !is_forbidden;
}

// A matrix of rows x columns, its columns one behind the other, transposed if `is_transposed`.
template <class T>
static std::vector<T> packed(const T* A, bool is_transposed, int rows, int columns, int stride) {
  std::vector<T> result(size_t(rows) * columns);
  for (int j = 0; j < columns; ++j)
    for (int i = 0; i < rows; ++i)
      result[size_t(j) * rows + i] = is_transposed ? A[size_t(i) * stride + j] : A[size_t(j) * stride + i];
  return result;
}

// C (m x n) = alpha A B + beta C. A: m x k; B: k x n; both packed.
template <class T>
static void sequential(int m, int n, int k, T alpha, const T* A, const T* B, T beta, T* C, int ldc) {
  std::vector<T> sums(m);
  for (int j = 0; j < n; ++j) {
    std::fill(sums.begin(), sums.end(), T(0));
    for (int l = 0; l < k; ++l)
      for (int i = 0; i < m; ++i) sums[i] = std::fma(A[size_t(l) * m + i], B[size_t(j) * k + l], sums[i]);
    T* c = C + size_t(j) * ldc;
    for (int i = 0; i < m; ++i) c[i] = alpha * sums[i] + (beta == 0 ? 0 : beta * c[i]);
  }
}

static CBLAS_TRANSPOSE cblas(cublasOperation_t op) { return op == CUBLAS_OP_N ? CblasNoTrans : CblasTrans; }

// ---- the functions, for float and double. what: a function's name; cblas_...: what computes it

template <class T, class F>
static cublasStatus_t gemm(const char* what, F cblas_gemm, cublasHandle_t handle, cublasOperation_t op_a,
                           cublasOperation_t op_b, int m, int n, int k, const T* alpha, const T* A, int lda, const T* B,
                           int ldb, const T* beta, T* C, int ldc) {
  if (cublasStatus_t status = fault(handle, what)) return status;
  bool ta = op_a != CUBLAS_OP_N, tb = op_b != CUBLAS_OP_N;
  if (std::min({m, n, k}) < 0 || lda < std::max(1, ta ? k : m) || ldb < std::max(1, tb ? n : k) ||
      ldc < std::max(1, m)) {
    fakecuda_complain("%s of %d x %d x %d is given lda %d, ldb %d, ldc %d", what, m, n, k, lda, ldb, ldc);
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const T* a = bytes(A, ta ? span(k, m, lda) : span(m, k, lda), what);
  const T* b = bytes(B, tb ? span(n, k, ldb) : span(k, n, ldb), what);
  T* c = bytes(C, span(m, n, ldc), what);
  if (!fakecuda_computes()) return CUBLAS_STATUS_SUCCESS;
  static const bool is_sequential = !strcmp(fakecuda_setting("FAKECUDA_GEMM", ""), "sequential");
  const bool is_tf32 = sizeof(T) == sizeof(float) && takes_tf32(handle);
  if (!is_sequential && !is_tf32) {
    cblas_gemm(CblasColMajor, cblas(op_a), cblas(op_b), m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc);
    return CUBLAS_STATUS_SUCCESS;
  }
  std::vector<T> left = packed(a, ta, m, k, lda), right = packed(b, tb, k, n, ldb);
  if (is_tf32)
    for (auto* each : {&left, &right}) std::transform(each->begin(), each->end(), each->begin(), to_tf32);
  if (is_sequential)
    sequential(m, n, k, *alpha, left.data(), right.data(), *beta, c, ldc);
  else
    cblas_gemm(CblasColMajor, CblasNoTrans, CblasNoTrans, m, n, k, *alpha, left.data(), std::max(1, m), right.data(),
               std::max(1, k), *beta, c, ldc);
  return CUBLAS_STATUS_SUCCESS;
}

template <class T, class F>
static cublasStatus_t gemv(const char* what, F cblas_gemv, cublasHandle_t handle, cublasOperation_t op, int m, int n,
                           const T* alpha, const T* A, int lda, const T* x, int incx, const T* beta, T* y, int incy) {
  if (cublasStatus_t status = fault(handle, what)) return status;
  if (m < 0 || n < 0 || lda < std::max(1, m) || !incx || !incy) return CUBLAS_STATUS_INVALID_VALUE;
  bool is_transposed = op != CUBLAS_OP_N;
  const T* a = bytes(A, span(m, n, lda), what);
  const T* from = bytes(x, span(1, is_transposed ? m : n, incx), what);
  T* to = bytes(y, span(1, is_transposed ? n : m, incy), what);
  if (fakecuda_computes()) cblas_gemv(CblasColMajor, cblas(op), m, n, *alpha, a, lda, from, incx, *beta, to, incy);
  return CUBLAS_STATUS_SUCCESS;
}

template <class T, class F>
static cublasStatus_t axpy(const char* what, F cblas_axpy, cublasHandle_t handle, int n, const T* alpha, const T* x,
                           int incx, T* y, int incy) {
  if (cublasStatus_t status = fault(handle, what)) return status;
  const T* from = bytes(x, span(1, n, incx), what);
  T* to = bytes(y, span(1, n, incy), what);
  if (fakecuda_computes()) cblas_axpy(n, *alpha, from, incx, to, incy);
  return CUBLAS_STATUS_SUCCESS;
}

template <class T, class F>
static cublasStatus_t scal(const char* what, F cblas_scal, cublasHandle_t handle, int n, const T* alpha, T* x,
                           int incx) {
  if (cublasStatus_t status = fault(handle, what)) return status;
  T* values = bytes(x, span(1, n, incx), what);
  if (fakecuda_computes()) cblas_scal(n, *alpha, values, incx);
  return CUBLAS_STATUS_SUCCESS;
}

template <class T, class F>
static cublasStatus_t dot(const char* what, F cblas_dot, cublasHandle_t handle, int n, const T* x, int incx, const T* y,
                          int incy, T* result) {
  if (cublasStatus_t status = fault(handle, what)) return status;
  const T *left = bytes(x, span(1, n, incx), what), *right = bytes(y, span(1, n, incy), what);
  *result = fakecuda_computes() ? cblas_dot(n, left, incx, right, incy) : 0;
  return CUBLAS_STATUS_SUCCESS;
}

template <class T, class F>
static cublasStatus_t asum(const char* what, F cblas_asum, cublasHandle_t handle, int n, const T* x, int incx,
                           T* result) {
  if (cublasStatus_t status = fault(handle, what)) return status;
  const T* values = bytes(x, span(1, n, incx), what);
  *result = fakecuda_computes() ? cblas_asum(n, values, incx) : 0;
  return CUBLAS_STATUS_SUCCESS;
}

template <class T, class F>
static cublasStatus_t copy(const char* what, F cblas_copy, cublasHandle_t handle, int n, const T* x, int incx, T* y,
                           int incy) {
  if (cublasStatus_t status = fault(handle, what)) return status;
  const T* from = bytes(x, span(1, n, incx), what);
  T* to = bytes(y, span(1, n, incy), what);
  if (fakecuda_computes()) cblas_copy(n, from, incx, to, incy);
  return CUBLAS_STATUS_SUCCESS;
}

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  if (fakecuda_context()) return CUBLAS_STATUS_NOT_INITIALIZED;
  handles().insert(*handle = new cublasContext{fakecuda_current(), nullptr, CUBLAS_DEFAULT_MATH});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  if (fakecuda_driver_is_gone() || !handles().erase(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  cublasStatus_t status = fault(handle, "cublasSetStream");
  if (!status) handle->stream = stream;
  return status;
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  cublasStatus_t status = fault(handle, "cublasGetStream");
  if (!status) *stream = handle->stream;
  return status;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  cublasStatus_t status = fault(handle, "cublasSetMathMode");
  if (!status) handle->mode = mode;
  return status;
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  cublasStatus_t status = fault(handle, "cublasGetMathMode");
  if (!status) *mode = handle->mode;
  return status;
}

cublasStatus_t cublasGetProperty(libraryPropertyType type, int* value) {
  const int version[] = {11, 11, 3};
  *value = version[type];
  return CUBLAS_STATUS_SUCCESS;
}

// T: float or double; S and s: the letter for it in cuBLAS' and in CBLAS' names.
#define FOR_EACH_TYPE(T, S, s)                                                                                         \
  cublasStatus_t cublas##S##gemm_v2(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,      \
                                    int n, int k, const T* alpha, const T* A, int lda, const T* B, int ldb,            \
                                    const T* beta, T* C, int ldc) {                                                    \
    const char* what = "cublas" #S "gemm";                                                                             \
    return gemm(what, cblas_##s##gemm, handle, op_a, op_b, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);              \
  }                                                                                                                    \
  cublasStatus_t cublas##S##gemv_v2(cublasHandle_t handle, cublasOperation_t op, int m, int n, const T* alpha,         \
                                    const T* A, int lda, const T* x, int incx, const T* beta, T* y, int incy) {        \
    return gemv("cublas" #S "gemv", cblas_##s##gemv, handle, op, m, n, alpha, A, lda, x, incx, beta, y, incy);         \
  }                                                                                                                    \
  cublasStatus_t cublas##S##axpy_v2(cublasHandle_t handle, int n, const T* alpha, const T* x, int incx, T* y,          \
                                    int incy) {                                                                        \
    return axpy("cublas" #S "axpy", cblas_##s##axpy, handle, n, alpha, x, incx, y, incy);                              \
  }                                                                                                                    \
  cublasStatus_t cublas##S##scal_v2(cublasHandle_t handle, int n, const T* alpha, T* x, int incx) {                    \
    return scal("cublas" #S "scal", cblas_##s##scal, handle, n, alpha, x, incx);                                       \
  }                                                                                                                    \
  cublasStatus_t cublas##S##dot_v2(cublasHandle_t handle, int n, const T* x, int incx, const T* y, int incy,           \
                                   T* result) {                                                                        \
    return dot("cublas" #S "dot", cblas_##s##dot, handle, n, x, incx, y, incy, result);                                \
  }                                                                                                                    \
  cublasStatus_t cublas##S##asum_v2(cublasHandle_t handle, int n, const T* x, int incx, T* result) {                   \
    return asum("cublas" #S "asum", cblas_##s##asum, handle, n, x, incx, result);                                      \
  }                                                                                                                    \
  cublasStatus_t cublas##S##copy_v2(cublasHandle_t handle, int n, const T* x, int incx, T* y, int incy) {              \
    return copy("cublas" #S "copy", cblas_##s##copy, handle, n, x, incx, y, incy);                                     \
  }
FOR_EACH_TYPE(float, S, s)
FOR_EACH_TYPE(double, D, d)
}
