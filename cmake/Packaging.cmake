# SPDX-License-Identifier: BSD-2-Clause
# Shared libraries beside the static ones, and what `cmake --install` puts where: libraries, headers
# in a folder of their own (they have seL4's names), the default board, and the ways to find them
# (find_package(guestmem), pkg-config guestmem). Versions with the same first number are compatible,
# to the loader (SOVERSION) as to find_package().
include(CMakePackageConfigHelpers)

# guestmem_shared(NAME MAP OBJECTS LIBRARY...): the shared library NAME of the objects of the static
# libraries in the list OBJECTS, which exports what the version script MAP lists.
function(guestmem_shared name map objects)
    set(sources "")
    foreach(library ${objects})
        list(APPEND sources $<TARGET_OBJECTS:${library}>)
    endforeach()
    add_library(${name}-shared SHARED ${sources})
    target_link_libraries(${name}-shared PUBLIC hosted-headers ${ARGN})
    target_link_options(${name}-shared PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/${map})
    set_target_properties(${name}-shared PROPERTIES OUTPUT_NAME ${name} LINKER_LANGUAGE C
                          LINK_DEPENDS ${PROJECT_SOURCE_DIR}/${map}
                          VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
endfunction()

guestmem_shared(guestmem-hosted hosted/hosted.map guestmem-hosted)
target_link_libraries(guestmem-hosted-shared PRIVATE ${LIBFDT_LIBRARY} Threads::Threads)
guestmem_shared(guestmem src/guestmem.map guestmem guestmem-hosted-shared)
guestmem_shared(guestmem-vm hosted/hosted.map "guestmem-vm;guestmem-vcpu" guestmem-shared
                guestmem-hosted-shared)
target_link_libraries(guestmem-vm-shared PRIVATE Threads::Threads)
if(GUESTMEM_HAVE_UNICORN)
    target_link_libraries(guestmem-vm-shared PRIVATE PkgConfig::UNICORN)
endif()

install(TARGETS hosted-headers guestmem guestmem-shared guestmem-hosted guestmem-hosted-shared
                guestmem-vm guestmem-vm-shared guestmem-vcpu
        EXPORT guestmem-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ ${PROJECT_SOURCE_DIR}/hosted/include/
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/guestmem)
install(FILES ${GUESTMEM_BOARD_DTB} DESTINATION ${CMAKE_INSTALL_DATADIR}/guestmem/boards)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/guestmem)

# GDB loads it from there with the library.
install(FILES ${PROJECT_SOURCE_DIR}/cmake/libguestmem-gdb.py
        DESTINATION ${CMAKE_INSTALL_DATADIR}/gdb/auto-load${CMAKE_INSTALL_FULL_LIBDIR}
        RENAME libguestmem.so.${PROJECT_VERSION}-gdb.py)

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/guestmem)
install(EXPORT guestmem-targets NAMESPACE guestmem:: DESTINATION ${config_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/guestmem-config.cmake.in
    ${CMAKE_CURRENT_BINARY_DIR}/guestmem-config.cmake INSTALL_DESTINATION ${config_dir}
    PATH_VARS CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/guestmem-config-version.cmake
    COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/guestmem-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/guestmem-config-version.cmake
        DESTINATION ${config_dir})

set(GUESTMEM_PC_ENGINE "")
if(GUESTMEM_HAVE_UNICORN)
    set(GUESTMEM_PC_ENGINE unicorn)
endif()
# From the file's own folder to the prefix, so that an installed tree can be moved.
file(RELATIVE_PATH GUESTMEM_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${PROJECT_SOURCE_DIR}/cmake/guestmem.pc.in ${CMAKE_CURRENT_BINARY_DIR}/guestmem.pc
               @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/guestmem.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
