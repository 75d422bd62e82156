# Installed package: headers, library, and what find_package(rheinfall CONFIG) and pkg-config need. The same tree goes
# into a wheel, below the Python package, so that `python -m rheinfall --cmake-dir` works there too.
set(cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/rheinfall")
set(rheinfall_install_prefix "")  # no "./": CMake before 3.31 counts it as a folder when it looks for the way back up
if(SKBUILD)
    set(rheinfall_install_prefix "rheinfall/")
    set(CMAKE_INSTALL_LIBDIR lib)
    set(cmake_dir "lib/cmake/rheinfall")
endif()

target_include_directories(rheinfall INTERFACE
    $<INSTALL_INTERFACE:${rheinfall_install_prefix}${CMAKE_INSTALL_INCLUDEDIR}>)
install(TARGETS rheinfall EXPORT rheinfall-targets
    LIBRARY DESTINATION "${rheinfall_install_prefix}${CMAKE_INSTALL_LIBDIR}"
    ARCHIVE DESTINATION "${rheinfall_install_prefix}${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY cpp/include/rheinfall DESTINATION "${rheinfall_install_prefix}${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/include/rheinfall/core/version.hpp"
    DESTINATION "${rheinfall_install_prefix}${CMAKE_INSTALL_INCLUDEDIR}/rheinfall/core")
install(EXPORT rheinfall-targets NAMESPACE rheinfall:: DESTINATION "${rheinfall_install_prefix}${cmake_dir}")

configure_package_config_file(cmake/rheinfall-config.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/rheinfall-config.cmake"
    INSTALL_DESTINATION "${cmake_dir}")
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/rheinfall-config-version.cmake"
    COMPATIBILITY SameMinorVersion)
configure_file(cmake/rheinfall.pc.in "${CMAKE_CURRENT_BINARY_DIR}/rheinfall.pc" @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/rheinfall-config.cmake"
    "${CMAKE_CURRENT_BINARY_DIR}/rheinfall-config-version.cmake"
    DESTINATION "${rheinfall_install_prefix}${cmake_dir}")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/rheinfall.pc"
    DESTINATION "${rheinfall_install_prefix}${CMAKE_INSTALL_LIBDIR}/pkgconfig")
