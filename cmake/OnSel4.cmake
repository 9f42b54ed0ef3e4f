# SPDX-License-Identifier: BSD-2-Clause
# guestmem in an seL4 project: `guestmem` against the kernel's and the runtime's own headers, instead
# of the memory code of sel4vm and sel4vmmplatsupport. docs/sel4.md says how to use it.
set(GUESTMEM_SEL4 TRUE)

function(guestmem_need target import)
    if(NOT TARGET ${target})
        message(FATAL_ERROR "guestmem: there is no target ${target}: call ${import}() before "
                            "adding guestmem")
    endif()
endfunction()
guestmem_need(sel4 sel4_import_libsel4)
guestmem_need(utils util_libs_import_libraries)
guestmem_need(sel4vka sel4_libs_import_libraries)
guestmem_need(sel4vm sel4_projects_libs_import_libraries)
if(KernelSel4Arch MATCHES "^(aarch64|arm_hyp)$")
    set(GUESTMEM_ARCH arm)
elseif(KernelSel4Arch STREQUAL "x86_64")
    set(GUESTMEM_ARCH x86_64)
else()
    message(FATAL_ERROR "guestmem: KernelSel4Arch is '${KernelSel4Arch}', and guests run on aarch64, "
                        "arm_hyp or x86_64; for another one add a folder to src/arch")
endif()

if(KernelIOMMU OR KernelTk1SMMU)
    set(GUESTMEM_IO_SPACES TRUE)
endif()
set(GUESTMEM_WORLD
    muslc sel4 sel4_autoconf sel4simple sel4vka sel4vspace utils platsupport sel4vm_Config sel4vm
    sel4vmmplatsupport)
add_subdirectory(src)

# Our headers come before those of the same names in sel4vm. And all that the runtime takes from
# the memory code is asked for first, and taken from our archive before any other is looked at,
# wherever guestmem stands among the libraries: so no member of the other one is loaded.
target_include_directories(guestmem BEFORE PUBLIC ${PROJECT_SOURCE_DIR}/include)
include(${CMAKE_CURRENT_LIST_DIR}/ReplacedSymbols.cmake)
foreach(symbol ${GUESTMEM_REPLACED_SYMBOLS})
    target_link_options(guestmem INTERFACE "LINKER:--undefined=${symbol}")
endforeach()
target_link_options(guestmem INTERFACE $<TARGET_FILE:guestmem>)
add_subdirectory(tests/conformance EXCLUDE_FROM_ALL)
add_subdirectory(tests/differential EXCLUDE_FROM_ALL)
add_subdirectory(tests/vmm-source EXCLUDE_FROM_ALL)
