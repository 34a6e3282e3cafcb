# SPDX-License-Identifier: Apache-2.0
# Cross-compiles for 64-bit Arm against the Debian tree that tools/test-arm unpacks ($DPO_ARM_ROOT).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_SYSROOT $ENV{DPO_ARM_ROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L ${CMAKE_SYSROOT})

# The compiler wrappers of MPI and HDF5 are of the building machine, so both are named here.
set(arm_libraries ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${arm_libraries}/pkgconfig)
set(MPI_ASSUME_NO_BUILTIN_MPI ON)
set(MPI_C_COMPILER ${CMAKE_C_COMPILER})
set(MPI_C_HEADER_DIR ${arm_libraries}/openmpi/include)
set(MPI_C_LIB_NAMES mpi)
set(MPI_mpi_LIBRARY ${arm_libraries}/openmpi/lib/libmpi.so)
set(HDF5_C_COMPILER_EXECUTABLE ${CMAKE_C_COMPILER})
set(HDF5_ROOT ${arm_libraries}/hdf5/openmpi)
