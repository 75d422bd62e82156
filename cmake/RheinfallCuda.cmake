# Decides whether the CUDA backend is built, and says why not.
set(RHEINFALL_WITH_CUDA OFF)
set(cuda_reason "RHEINFALL_CUDA=OFF")

if(NOT RHEINFALL_CUDA STREQUAL "OFF")
    include(CheckLanguage)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
        set(CMAKE_CUDA_ARCHITECTURES "80-real;89-real;90" CACHE STRING "CUDA architectures; a plain number adds PTX")
    endif()
    # check_language compiles a small program, so it also tells whether nvcc accepts the host compiler.
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
        enable_language(CUDA)
        if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12)
            set(RHEINFALL_WITH_CUDA ON)
        else()
            set(cuda_reason "nvcc ${CMAKE_CUDA_COMPILER_VERSION} is older than 12")
        endif()
    else()
        set(cuda_reason "no nvcc found that accepts ${CMAKE_CXX_COMPILER}")
    endif()
    if(RHEINFALL_CUDA STREQUAL "ON" AND NOT RHEINFALL_WITH_CUDA)
        message(FATAL_ERROR "RHEINFALL_CUDA=ON: ${cuda_reason}")
    endif()
endif()

if(RHEINFALL_WITH_CUDA)
    message(STATUS "CUDA backend: on (nvcc ${CMAKE_CUDA_COMPILER_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES})")
    find_package(CUDAToolkit REQUIRED)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know that nvcc 12 has it
        set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
        set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    endif()
    set(CMAKE_CUDA_STANDARD 20)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    # --fmad=false for the same reason as -ffp-contract=off on the host: CPU and CUDA decide alike.
    target_compile_options(rheinfall_options INTERFACE
        $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra,-ffp-contract=off>
        $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${RHEINFALL_WERROR}>>:--Werror=all-warnings -Xcompiler=-Werror>)
else()
    message(STATUS "CUDA backend: off (${cuda_reason})")
endif()
