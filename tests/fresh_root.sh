#!/bin/sh
# Run ./setup in a bare system, which debootstrap makes from nothing.
#
#     tests/fresh_root.sh [WORD...]      ./setup WORD for each; default: up.  As in: fresh_root.sh up test
#
# The checkout's last commit is cloned into it.  apt, pip, proxies and certificates are configured there
# as they are here.  SUITE=noble makes an Ubuntu 24.04, MIRROR=URL overrides where it comes from.
#
# The system lives in a tmpfs (SIZE, default 4g) in a mount and a process namespace of its own, bpffs
# included, so nothing of it outlives this script.
set -eu

suite=${SUITE-bookworm}
self=$(readlink -f "$0")
checkout=${self%/tests/*}

die() { echo "fresh_root: $*" >&2; exit 1; }

if [ -z "${FRESH_ROOT-}" ]; then
	[ "$(id -u)" -eq 0 ] || die "needs root"
	command -v debootstrap >/dev/null || die "needs debootstrap: apt-get install debootstrap"
	FRESH_ROOT=$(mktemp -d)
	export FRESH_ROOT
	trap 'rmdir "$FRESH_ROOT"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' HUP TERM
	unshare --mount --pid --fork --kill-child "$self" "$@"
	exit
fi

make_system() {
	# The mirror that this machine's apt has for the suite; without one, debootstrap's own choice.
	# shellcheck disable=SC2016 # apt-get expands it
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" | head -n1)
	components=main
	[ "$suite" != noble ] || components=main,universe
	# shellcheck disable=SC2086 # there may be no mirror
	debootstrap --variant=minbase --components=$components "$suite" "$system" ${MIRROR-$mirror} >"$log" 2>&1 ||
		die "debootstrap failed: $(tail -n5 "$log")"
	if [ -n "$mirror" ]; then
		rm "$system/etc/apt/sources.list"
		cp -a /etc/apt/. "$system/etc/apt/"
		rm -rf "$system/etc/apt/apt.conf" "$system/etc/apt/apt.conf.d"/* # hooks would want this machine's programs
	fi
	apt-config dump Acquire >"$system/etc/apt/apt.conf.d/99fresh-root"
	[ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$system/etc/"
	# The package ca-certificates will add these to its own.
	[ ! -e /etc/ssl/certs/ca-certificates.crt ] ||
		install -D /etc/ssl/certs/ca-certificates.crt "$system/usr/local/share/ca-certificates/fresh-root.crt"
	git -c safe.directory='*' clone --quiet "$checkout" "$system/opt/ufid-datapath"
}

# The system becomes the root of this namespace: in a mere chroot the kernel makes no user namespaces.
enter_system() {
	mount --bind "$system" "$system"
	mount -t proc proc "$system/proc"
	mount -t sysfs sysfs "$system/sys"
	mount -t bpf bpf "$system/sys/fs/bpf"
	mount --rbind /dev "$system/dev"
	mkdir "$system/before"
	cd "$system"
	pivot_root . before
	umount --lazy /before
	rmdir /before
}

inside() {
	passed=$(env | grep -iE '^(pip_\w+|(https?|all|no)_proxy|ssl_cert_file|requests_ca_bundle)=' || true)
	(
		IFS='
'
		# shellcheck disable=SC2086 # one setting a line
		exec env --default-signal=INT -i $passed HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
	)
}

mount -t tmpfs -o mode=755,size="${SIZE-4g}" fresh-root "$FRESH_ROOT"
mount -t proc proc /proc
system=$FRESH_ROOT/system
log=$FRESH_ROOT/debootstrap.log
make_system
enter_system
[ $# -gt 0 ] || set -- up
for word; do
	echo "fresh_root: $suite: ./setup $word" >&2
	begun=$(date +%s)
	inside /opt/ufid-datapath/setup "$word"
	echo "fresh_root: $suite: ./setup $word took $(($(date +%s) - begun)) s" >&2
done
