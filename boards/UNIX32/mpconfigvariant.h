// The numbers of the RP2040 on a desk: 32-bit words, single-precision floats, viper.

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)

#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)

// Tests lock the heap and ask whether it is locked.
#define MICROPY_PY_MICROPYTHON_HEAP_LOCKED (1)

#include "variants/mpconfigvariant_common.h"
