#!/bin/sh
# Run a command on another kernel, in a throw-away guest.  See tests/guest.sh --help.
#
# The guest is QEMU without KVM, so that it works anywhere.  Its root is this machine's /, read only over 9p, under
# a layer in the guest's memory: it has this machine's programs and this checkout, and what it writes is gone with it.
# Of the kernel's modules only those that reach this root are loaded here; all others the kernel loads as it needs them.
#
# Serial ports of the guest: 0 the kernel's console, 1 the command's output, 2 the command's exit status.
set -eu

self=$(readlink -f "$0")
checkout=${self%/tests/*}
cache=${GUEST_CACHE-/var/cache/ufid-datapath/kernels}
limit=${LIMIT-7200}
needed='qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio depmod:kmod dpkg-deb:dpkg'
modules='virtio_pci 9pnet_virtio 9p overlay'

usage() {
	cat <<-EOF
	usage: tests/guest.sh KERNEL [COMMAND]

	  KERNEL    6.1, 6.12, ...: the newest linux-image-KERNEL.*-amd64 that apt knows; or the name of such a package
	  COMMAND   for a shell, as root, in the checkout, with .venv/bin on its PATH; default: ctl up, ctl down and
	            pytest tests/bpf

	The kernel's package is downloaded into $cache (GUEST_CACHE) and not installed.
	LIMIT=SECONDS ends the guest (default $limit), MEMORY=MB (default 3072) and CPUS=N (default: all) are what it has.
	Exit status: that of COMMAND; 124 when the time was up, 125 when there was no guest or it ended early.

	The guest is up in five seconds and then computes some ten to forty times slower than this machine.  Bytecode
	that ctl has in its cache here is found there: run ./setup test tests/bpf/test_verifier.py first.  What changes
	in this checkout meanwhile changes there too.  Example:

	  tests/guest.sh 6.1 'pytest -q tests/bpf/test_verifier.py'
	EOF
}

die() { echo "guest: $*" >&2; exit 125; }

require() {
	[ "$(id -u)" -eq 0 ] || die "needs root, to show the guest all of this machine's files"
	[ "$(uname -m)" = x86_64 ] || die "knows the kernels for x86-64 only"
	[ -x "$checkout/.venv/bin/pytest" ] || die "needs the environment of the tests: ./setup test"
	missing=
	for tool in $needed; do
		command -v "${tool%:*}" >/dev/null || missing="$missing ${tool#*:}"
	done
	! ldd "$(command -v busybox)" >/dev/null 2>&1 || missing="$missing busybox-static" # the other one needs libraries
	[ -z "$missing" ] || die "needs: apt-get install --no-install-recommends$missing"
}

find_package() { # KERNEL
	case $1 in linux-image-*) echo "$1"; return ;; esac
	pattern="^linux-image-$(echo "$1" | sed 's/\./\\./g')\\.[0-9]+(-[0-9]+)?(\\+[a-z0-9]+)?-amd64\$"
	apt-cache --names-only search "$pattern" | cut -d' ' -f1 | sort -V | tail -n1
}

# The package's files, complete once they have this name.
unpack() { # PACKAGE
	[ ! -e "$cache/$1" ] || return 0
	(
		cd "$work"
		apt-get -q download "$1" >download.log 2>&1 || die "cannot download $1: $(grep -m1 '^E:' download.log)"
		dpkg-deb -x ./*.deb unpacked
	)
	depmod -b "$work/unpacked" "$(ls "$work/unpacked/lib/modules")"
	mv -T "$work/unpacked" "$cache/$1" || [ -e "$cache/$1" ] # somebody else was faster
}

# What the kernel starts with: busybox, the modules in their order, and two scripts.
make_initramfs() {
	root=$work/initramfs
	mkdir -p "$root/bin" "$root/modules"
	cp "$(command -v busybox)" "$root/bin/"
	# shellcheck disable=SC2086 # a list of words
	modprobe -d "$kernel" -S "$version" --all --show-depends $modules | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
		while read -r module; do
			number=$((${number-100} + 1))
			unpacked=$root/modules/$number.ko
			case $module in
			*.xz) xz -dc "$module" ;;
			*.zst) zstd -qdc "$module" ;;
			*) cat "$module" ;;
			esac >"$unpacked"
		done
	write_init >"$root/init"
	write_session >"$root/session"
	chmod 755 "$root/init"
	printf '%s\n' "$command" >"$root/command"
	(cd "$root" && find . | cpio --quiet -o -H newc) >"$work/initramfs.cpio"
}

write_init() { # the first process: builds the guest's root and goes on there
	cat <<-EOF
	#!/bin/busybox sh
	set -e
	export PATH=/bin
	/bin/busybox --install -s /bin
	mkdir -p /proc /dev /host /layer /system
	mount -t proc proc /proc
	mount -t devtmpfs dev /dev
	for module in /modules/*; do insmod "\$module"; done
	mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /host
	mount -t tmpfs -o size=75% layer /layer
	mkdir /layer/upper /layer/work
	mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work system /system
	mkdir -p '/system/lib/modules/$version' /system/guest
	mount --bind '/host$kernel/lib/modules/$version' '/system/lib/modules/$version'
	cp /session /command /system/guest/
	mount --move /proc /system/proc
	mount --move /dev /system/dev
	exec switch_root /system /bin/sh /guest/session
	EOF
}

write_session() { # the same process in its final root: runs the command and turns the guest off
	cat <<-EOF
	mount -t sysfs sysfs /sys
	mount -t bpf bpf /sys/fs/bpf
	ln -s /proc/self/fd /dev/fd
	ln -s /proc/self/fd/0 /dev/stdin
	ln -s /proc/self/fd/1 /dev/stdout
	ln -s /proc/self/fd/2 /dev/stderr
	for place in /run /dev/shm; do mkdir -p \$place; mount -t tmpfs tmpfs \$place; done
	ip link set lo up
	hostname guest
	stty -F /dev/ttyS1 raw
	cd '$checkout'
	export PATH='$checkout/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
	export HOME=/root LANG=C.UTF-8
	# By way of a pipe, since a serial port is a terminal.
	{ sh /guest/command </dev/null 2>&1; echo \$? >/dev/ttyS2; } | cat >/dev/ttyS1
	sleep 0.5
	exec busybox poweroff -f
	EOF
}

boot() {
	accel=tcg,thread=multi,tb-size=1024
	timeout -k 5 "$limit" qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -nic none \
		-accel "$accel" -cpu max,la57=off -smp "${CPUS-$(nproc)}" -m "${MEMORY-3072}" \
		-kernel "$kernel/boot/vmlinuz-$version" -initrd "$work/initramfs.cpio" \
		-append "console=ttyS0 panic=-1 mitigations=off tsc=reliable quiet" \
		-virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
		-serial "file:$work/console" -serial stdio -serial "file:$work/status" </dev/null &
	guest=$!
	wait $guest || ended=$?
	guest=
}

# shellcheck disable=SC2317 # the trap calls it
cleanup() {
	[ -z "$guest" ] || kill "$guest" 2>/dev/null || true
	rm -rf "$work"
}

case ${1-} in
'' | -h | --help) usage; exit ;;
esac
require
package=$(find_package "$1")
[ -n "$package" ] || die "apt knows no kernel $1: apt-get update, or see apt-cache search linux-image"
shift
command=${*:-ctl up && ctl down && pytest tests/bpf}
guest=
ended=0
mkdir -p "$cache"
work=$(mktemp -d -p "$cache" .XXXXXX)
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM
unpack "$package"
kernel=$cache/$package
version=$(ls "$kernel/lib/modules")
make_initramfs
echo "guest: Linux $version" >&2
begun=$(date +%s)
boot
echo "guest: Linux $version: took $(($(date +%s) - begun)) s" >&2
[ "$ended" -ne 124 ] || { echo "guest: stopped after $limit s" >&2; exit 124; }
[ -s "$work/status" ] || die "ended early; its console says at last: $(tail -n40 "$work/console")"
exit "$(tr -d '\r' <"$work/status")"
