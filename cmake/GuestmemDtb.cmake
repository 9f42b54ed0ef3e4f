# SPDX-License-Identifier: BSD-2-Clause
# guestmem_add_dtb(<target> <input.dts> <output.dtb>)
#
# Compile a device tree source with dtc. <target> is a custom target that is part of `all`; paths
# are relative to the current source and binary directory.
find_program(DTC_EXECUTABLE dtc REQUIRED)

function(guestmem_add_dtb target input output)
    get_filename_component(source ${input} ABSOLUTE)
    get_filename_component(result ${output} ABSOLUTE BASE_DIR ${CMAKE_CURRENT_BINARY_DIR})
    get_filename_component(folder ${result} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    add_custom_command(
        OUTPUT ${result}
        COMMAND ${DTC_EXECUTABLE} -q -I dts -O dtb -o ${result} ${source}
        DEPENDS ${source}
        COMMENT "Compiling device tree ${output}"
        VERBATIM)
    add_custom_target(${target} ALL DEPENDS ${result})
    set_target_properties(${target} PROPERTIES GUESTMEM_DTB ${result})
endfunction()
