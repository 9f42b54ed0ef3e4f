# SPDX-License-Identifier: BSD-2-Clause
# The manual pages, in build/man: of the library from its headers, of the command from its --help and
# docs/vm-description.md. Installed where there is what makes them.
find_program(GUESTMEM_PYTHON python3)
if(NOT GUESTMEM_PYTHON OR CMAKE_CROSSCOMPILING)
    message(STATUS "No manual pages: they need python3, and a guestmem command that runs here")
    return()
endif()

file(GLOB_RECURSE manual_sources CONFIGURE_DEPENDS
     ${PROJECT_SOURCE_DIR}/include/*.h ${PROJECT_SOURCE_DIR}/scripts/manual/*.py)
set(GUESTMEM_MANUAL ${PROJECT_BINARY_DIR}/man)
set(document ${PROJECT_SOURCE_DIR}/docs/vm-description.md)
add_custom_command(
    OUTPUT ${GUESTMEM_MANUAL}.made
    COMMAND ${GUESTMEM_PYTHON} -B ${PROJECT_SOURCE_DIR}/scripts/manual
            man ${PROJECT_SOURCE_DIR}/include ${GUESTMEM_MANUAL} $<TARGET_FILE:guestmem-cli> ${document}
    COMMAND ${CMAKE_COMMAND} -E touch ${GUESTMEM_MANUAL}.made
    DEPENDS guestmem-cli ${document} ${manual_sources}
    COMMENT "Making the manual pages")
add_custom_target(manual ALL DEPENDS ${GUESTMEM_MANUAL}.made)
install(DIRECTORY ${GUESTMEM_MANUAL}/ DESTINATION ${CMAKE_INSTALL_MANDIR})
