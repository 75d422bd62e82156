# nlohmann/json reads documents inside the library: headers for the build alone, nothing that is installed refers to it.
# Debian calls it nlohmann-json3-dev; the package nlohmann_json of PyPI brings the same headers.
set(RHEINFALL_JSON_INCLUDE_DIR "" CACHE PATH "Folder that holds nlohmann/json.hpp; empty: look for it")

set(json_include_dir "${RHEINFALL_JSON_INCLUDE_DIR}")
if(NOT json_include_dir)
    find_package(nlohmann_json 3.7 CONFIG QUIET)
    if(TARGET nlohmann_json::nlohmann_json)
        get_target_property(json_include_dir nlohmann_json::nlohmann_json INTERFACE_INCLUDE_DIRECTORIES)
    else()
        find_package(Python 3.10 QUIET COMPONENTS Interpreter)
        if(Python_Interpreter_FOUND)
            execute_process(
                COMMAND "${Python_EXECUTABLE}" -c
                    "import importlib.util as u, pathlib as p; print(p.Path(u.find_spec('nlohmann_json').origin).parent / 'include')"
                OUTPUT_STRIP_TRAILING_WHITESPACE OUTPUT_VARIABLE json_include_dir ERROR_QUIET)
        endif()
        if(NOT EXISTS "${json_include_dir}/nlohmann/json.hpp")
            message(FATAL_ERROR "nlohmann/json.hpp was not found: install the system package nlohmann-json3-dev, or the "
                "Python package (${Python_EXECUTABLE} -m pip install nlohmann_json), or set RHEINFALL_JSON_INCLUDE_DIR")
        endif()
    endif()
endif()
message(STATUS "JSON: ${json_include_dir}")
add_library(rheinfall_json INTERFACE)
target_include_directories(rheinfall_json SYSTEM INTERFACE "${json_include_dir}")
