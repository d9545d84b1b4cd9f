# What dist_train.sh and dist_test.sh see to before torchrun, which answers with tracebacks.

# check_launch GPUS: end with one sentence where the number or the port can't be used.
check_launch() {
    local gpus=$1 port=${PORT:-29500}
    if [[ ! $gpus =~ ^([1-9][0-9]*|auto|gpu|cpu)$ ]]; then
        echo "Error: GPUS is '$gpus'; give the number of processes, 1 or more." >&2
        exit 1
    fi
    if [[ ! $port =~ ^[0-9]{1,5}$ ]] || ((10#$port < 1 || 10#$port > 65535)); then
        echo "Error: PORT is '$port'; give a number from 1 to 65535." >&2
        exit 1
    fi
    # Somebody answers on the port that rank 0 is about to open.
    if [[ ${NODE_RANK:-0} == 0 ]] && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "Error: port $port is taken, perhaps by another training here; set PORT to a free one,\
 such as PORT=$((port + 1)) $0 …" >&2
        exit 1
    fi
}
