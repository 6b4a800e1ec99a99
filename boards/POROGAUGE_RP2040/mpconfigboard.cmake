# Image configuration of the porogauge board with an RP2040 (Raspberry Pi Pico).

set(PICO_BOARD "pico")
set(PICO_PLATFORM "rp2040")

set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)

# Frozen viper code reads its 32-bit constants relative to its own start and needs that start at
# a multiple of 4. MicroPython's mpy-tool.py asks the compiler for 2 only; the ARMv6-M would then
# silently read wrong constants. boards/image.py checks the result in every image.
set_source_files_properties(
    ${CMAKE_BINARY_DIR}/frozen_content.c
    PROPERTIES COMPILE_OPTIONS "-Daligned(n)=aligned(4)"
)

set_source_files_properties(
    ${MICROPY_DIR}/shared/tinyusb/mp_usbd_cdc.c
    PROPERTIES COMPILE_OPTIONS "-include;${MICROPY_BOARD_DIR}/usb_timeout.h"
)

# There is no C++ in this firmware but an allocator of the SDK that nothing calls. Without it the
# C++ library of the ARM compiler, ten times the size of the rest, need not be installed. Deferred,
# because the target does not exist yet when this file is read.
cmake_language(DEFER CALL
    set_target_properties ${MICROPY_TARGET} PROPERTIES LINKER_LANGUAGE C
)
cmake_language(DEFER CALL
    target_compile_definitions ${MICROPY_TARGET} PRIVATE PICO_CXX_DISABLE_ALLOCATION_OVERRIDES=1
)
cmake_language(DEFER CALL target_link_libraries ${MICROPY_TARGET} m)
