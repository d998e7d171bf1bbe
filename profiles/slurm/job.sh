#!/bin/sh
# properties = {properties}
$AEPSL_EXEC sh -s <<'JOB'
{exec_job}
JOB
