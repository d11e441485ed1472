#!/usr/bin/env bash
# A Ceph cluster of one monitor, one object store in memory and one S3 gateway, to try Baton on a bucket that is nobody's imitation:
#
#   scripts/ceph-rgw.sh start DIRECTORY PORT    starts it in DIRECTORY, which it makes; the gateway listens on 127.0.0.1:PORT
#   scripts/ceph-rgw.sh stop DIRECTORY          ends it and removes DIRECTORY
#
# Uses the ports from PORT to PORT + 60. Access key AKTEST, secret SKTEST, bucket `baton`. Needs root, or a user that may write to
# DIRECTORY, and of Debian: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd curl
set -euo pipefail

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }

say() { echo "$(date +%T) $*"; }

# Runs a command again and again until it succeeds, for as many seconds as the first argument says.
within() {
  local seconds=$1; shift
  for ((tries = 0; tries < seconds * 4; tries++)); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.25
  done
  echo "no success within $seconds s: $*" >&2
  tail -n 5 "$dir"/log/* >&2 || true
  return 1
}

stop() {
  local pid
  for file in "$dir"/run/*.pid; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    kill -9 "$pid" 2>/dev/null || true
  done
  rm -rf "$dir"
}

configure() {
  local monitor=$((port + 1))
  mkdir -p "$dir"/{mon,osd,rgw,run,log}
  cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$monitor/0,v1:127.0.0.1:$((monitor + 1))/0]
mon initial members = a
public network = 127.0.0.0/8
ms bind port min = $((port + 10))
ms bind port max = $((port + 60))
ms bind ipv6 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
mon data avail warn = 2
run dir = $dir/run
admin socket = $dir/run/\$name.\$pid.asok
log file = $dir/log/\$name.log
pid file = $dir/run/\$name.pid
keyring = $dir/keyring
mon data = $dir/mon
osd data = $dir/osd
rgw data = $dir/rgw
rgw thread pool size = 64
rgw dynamic resharding = false
rgw enable usage log = false
CONF
  ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *'
  for name in client.admin client.rgw.a; do
    ceph-authtool "$dir/keyring" --gen-key -n "$name" --cap mon 'allow *' --cap osd 'allow *'
  done
  ceph-authtool "$dir/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
}

start_monitor() {
  local monitor=$((port + 1))
  monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$monitor,v1:127.0.0.1:$((monitor + 1))]" "$dir/monmap"
  ceph-mon --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
  ceph-mon -i a
  within 60 timeout 10 ceph -s
}

osd_is_up() { ceph osd stat | grep -q '1 up'; }

start_osd() {
  ceph osd create
  ceph-osd -i 0 --mkfs --osd-uuid "$(cat /proc/sys/kernel/random/uuid)" 2>>"$dir/log/mkfs.log"
  ceph osd crush add-bucket here host
  ceph osd crush move here root=default
  ceph osd crush add osd.0 1.0 host=here
  ceph-osd -i 0
  within 60 osd_is_up
}

start_gateway() {
  # Without tcp_nodelay each answer waits for 40 ms.
  radosgw -n client.rgw.a --rgw-frontends "beast endpoint=127.0.0.1:$port tcp_nodelay=1"
  within 120 curl --silent --fail --output /dev/null "http://127.0.0.1:$port/"
  radosgw-admin user create --uid=test --display-name=test --access-key=AKTEST --secret-key=SKTEST
  within 30 curl --silent --fail --request PUT --header "x-amz-content-sha256: $(sha256sum </dev/null | cut -d' ' -f1)" \
    --aws-sigv4 aws:amz:us-east-1:s3 --user AKTEST:SKTEST "http://127.0.0.1:$port/baton"
}

action=${1:-}; dir=${2:-}; port=${3:-}
[ -n "$dir" ] || usage
case "$action" in
  stop) stop; exit ;;
  start) [[ "$port" =~ ^[0-9]+$ ]] || usage ;;
  *) usage ;;
esac

[ ! -e "$dir" ] || { echo "$dir is there already: choose another one, or stop it" >&2; exit 1; }
fsid=$(cat /proc/sys/kernel/random/uuid)
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
export CEPH_CONF="$dir/ceph.conf" CEPH_ARGS="--conf $dir/ceph.conf"
trap 'status=$?; [ "$status" -eq 0 ] || stop' EXIT
configure >"$dir.setup" 2>&1
for step in monitor osd gateway; do
  "start_$step" >>"$dir.setup" 2>&1 || { tail -n 20 "$dir.setup" >&2; exit 1; }
  say "the $step answers"
done
mv "$dir.setup" "$dir/log/setup"
say "http://127.0.0.1:$port, access key AKTEST, secret SKTEST"
