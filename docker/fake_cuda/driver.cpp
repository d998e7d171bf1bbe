// libcuda.so.1 and libnvidia-ml.so.1, in one: what this project asks of the driver itself.
#include <cstdio>

#include "fake.hpp"

extern "C" {

int cuDeviceGetName(char* name, int length, int) {
  snprintf(name, length, "%s", fakecuda_setting("FAKECUDA_NAME", "fake NVIDIA A100-SXM4-80GB"));
  return 0;
}

int nvmlInit_v2() { return 0; }

int nvmlSystemGetDriverVersion(char* version, unsigned length) {
  snprintf(version, length, "535.104.05");
  return 0;
}
}
