#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/check-floors finds what it is there to find.
. "$(dirname "$0")/lib.sh"

spdx='// SPDX-License-Identifier: Apache-2.0'

# tree: a small repository of two floors that keeps every rule.
tree() {
    rm -rf tree
    mkdir -p tree/src/{base,comm,cli} tree/include/dpo/{base,comm} tree/tests
    cat >tree/src/CMakeLists.txt <<'END'
dpo_add_floor(base USES PkgConfig::CJSON)
dpo_add_floor(comm USES dpo_base MPI::MPI_C)
END
    printf '%s\n' "$spdx" '#include <stdint.h>' >tree/include/dpo/base/status.h
    printf '%s\n' "$spdx" '#include "dpo/base/status.h"' >tree/include/dpo/comm/grid.h
    printf '%s\n' "$spdx" '#include <cjson/cJSON.h>' '#include "dpo/base/status.h"' >tree/src/base/status.c
    printf '%s\n' "$spdx" '#include <mpi.h>' '#include "dpo/comm/grid.h"' >tree/src/comm/grid.c
    printf '%s\n' "$spdx" '#include "dpo/comm/grid.h"' >tree/src/cli/main.c
}

check() {
    run "$DPO_SOURCE_DIR/tools/check-floors" tree
}

# breaks LINE FILE COMPLAINT: appending LINE to FILE makes the check fail with COMPLAINT.
breaks() {
    tree
    echo "$1" >>"tree/$2"
    check
    assert_status 1
    assert_contains out "$2"
    assert_contains out "$3"
}

fact "a tree that keeps the rules passes"
tree
check
assert_status 0

fact "a floor may not look up"
breaks '#include "dpo/comm/grid.h"' src/base/status.c "floor base may not include dpo/comm/grid.h"
breaks '#include "dpo/comm/grid.h"' include/dpo/base/status.h "floor base may not include dpo/comm/grid.h"
breaks 'dpo_add_floor(store USES dpo_train)' src/CMakeLists.txt "floor store uses train"

fact "a library is included where its floor uses it, in sources and in headers"
breaks '#include <mpi.h>' src/base/status.c "may not include <mpi.h>"
breaks '#include <mpi.h>' include/dpo/base/status.h "may not include <mpi.h>"
breaks '#include <mpi.h>' src/cli/main.c "may not include <mpi.h>"
breaks '# include <cjson/cJSON.h>' src/comm/grid.c "may not include <cjson/cJSON.h>"
breaks '#include <hdf5.h>' src/comm/grid.c "may not include <hdf5.h>"

fact "a private header stays in its folder"
breaks '#include "../base/secret.h"' src/comm/grid.c "no private header of this folder"

fact "a file has at most 600 lines and says its licence"
breaks "$(seq 601 | sed 's,^,// ,')" src/comm/grid.c "more than 600 lines"
tree
sed -i 1d tree/src/comm/grid.c
check
assert_status 1
assert_contains out "src/comm/grid.c:1: no SPDX line"
