# shellcheck shell=bash
# Sourced by environment.sh: chooses the build of torch that pip installs.
#
# OMNIVL_TORCH=cpu|cuda   without or with the libraries of CUDA (2 or 6 GB); by default cpu where no NVIDIA GPU is found

CPU_WHEELS=https://download.pytorch.org/whl/cpu

has_nvidia_gpu() {
    [ -e /proc/driver/nvidia/version ] || nvidia-smi -L >/dev/null 2>&1
}

# Sets TORCH_OPTIONS, for pip, and TORCH_GB, what the installation will take.
choose_torch() {
    local wanted="${OMNIVL_TORCH:-}"
    TORCH_OPTIONS=()
    TORCH_GB=6
    case "$wanted" in
        cpu | cuda) ;;
        '') if has_nvidia_gpu; then wanted=cuda; else wanted=cpu; fi ;;
        *) fail "OMNIVL_TORCH is $wanted; allowed are cpu and cuda." ;;
    esac
    [ "$wanted" = cpu ] || return 0
    if "$PYTHON" -c 'import sys, urllib.request as web; web.urlopen(sys.argv[1], timeout=5)' "$CPU_WHEELS/torch/" 2>/dev/null; then
        TORCH_OPTIONS=(--extra-index-url "$CPU_WHEELS")
        TORCH_GB=2
        echo '      torch for CPUs only (2 GB instead of 6); OMNIVL_TORCH=cuda takes the build for NVIDIA GPUs'
    else
        echo "      $CPU_WHEELS cannot be reached: torch with its CUDA libraries (6 GB) in place of the build for CPUs"
    fi
}

warn_of_little_room() {
    local free_gb
    free_gb=$(df -Pk "$VENV" | awk 'NR == 2 {print int($4 / 1048576)}')
    if [ "$free_gb" -lt "$((TORCH_GB + 2))" ] && ! can_import torch; then
        echo "warning: $free_gb GB free at $VENV; the installation takes about $TORCH_GB GB, most of it torch" >&2
    fi
}
