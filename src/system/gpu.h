/* The graphics processors of this computer, without linking to any driver: NVIDIA's library is opened at run time,
   AMD's driver is read from sysfs. */
#ifndef KVASIR_SYSTEM_GPU_H
#define KVASIR_SYSTEM_GPU_H

#include "kvasir/kvasir.h"

/* Fills out[0..most) and returns how many there are; 0 without a driver. nvml: NVIDIA's management library, NULL for
   its usual name; root: as in system/system.h. A GPU that does not say how much memory it has is left out. */
int gpu_list(const char *nvml, const char *root, kvasir_machine_gpu *out, int most);

/* Bytes per second in one direction of a PCI Express link: transfers per second of a lane, times the lanes, less the
   overhead of the line code (8b/10b up to 5 GT/s, 128b/130b up to 32; the FLIT mode of 64 GT/s is taken as the latter).
   0 for arguments that cannot be. */
double gpu_link_rate(double transfers_per_s, unsigned lanes);

#endif
