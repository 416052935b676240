#!/bin/sh
# No alarm on any twin: ten million executions of each of them by the portfolio, without noise and with it. Ten minutes on four idle cores.
# usage: alarms.sh [EXECUTIONS]
set -eu
cd "$(dirname "$0")/../.."
exec cargo run --release --locked -p millpond-specimens --example alarms -- \
    --testers portfolio --executions "${1:-10000000}" --seconds 86400 --jobs "$(nproc)"
