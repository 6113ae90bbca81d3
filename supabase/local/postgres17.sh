#!/usr/bin/env bash
# The PostgreSQL hosted projects run, where the distribution has only an older one: fetched from Debian 13 by apt,
# unpacked into .local/postgres17 and installed nowhere. Says where it is; where it cannot be had, says why and fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
place=$PWD/.local/postgres17
bin=$place/usr/lib/postgresql/17/bin
packages=(postgresql-17 postgresql-client-17 postgresql-17-cron postgresql-17-plpgsql-check)

cannot() { printf '%s\n' "$*" >&2; exit 1; }

if [ -x "$bin/postgres" ] && "$bin/postgres" --version >/dev/null; then
  echo "$place"
  exit
fi
for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || cannot "there is no $tool here"
done
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || cannot "there are no keys of Debian here (package debian-archive-keyring)"

# An apt of its own, which knows Debian 13 alone and believes nothing is installed.
new=$place.new
rm -rf "$new"
trap 'rm -rf "$new"' EXIT
mkdir -p "$new"/apt/{state/lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d} "$new/debs"
touch "$new/apt/state/status"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 '/debian/$' || true)
[ -n "$mirror" ] || cannot "apt here knows no mirror of Debian"
echo "deb [signed-by=$keys] $mirror trixie main" >"$new/apt/etc/sources.list"
cat >"$new/apt/apt.conf" <<CONF
Dir "$new/apt";
Dir::State "$new/apt/state";
Dir::State::status "$new/apt/state/status";
Dir::Cache "$new/apt/cache";
Dir::Etc "$new/apt/etc";
APT::Architecture "amd64";
APT::Sandbox::User "$(id -un)";
CONF
export APT_CONFIG=$new/apt/apt.conf

{
  apt-get update -q
  # Of all these need, the libraries; nothing that only matters to an installed system.
  libraries=$(apt-cache depends --recurse --important "${packages[@]}" | grep -E '^lib' | sort -u |
    grep -vE 'perl|llvm|libz3|debconf|installer|text|newt|slang|semanage|sepol|pam-modules|libc-(bin|l10n)')
  # shellcheck disable=SC2086  # one word for each package
  (cd "$new/debs" && apt-get download -q "${packages[@]}" $libraries)
  for deb in "$new"/debs/*.deb; do dpkg-deb -x "$deb" "$new"; done
} >.local/postgres17.log 2>&1 || cannot "Debian 13 is out of reach (see .local/postgres17.log)"
rm -rf "$new/debs" "$new/apt"

# Its programs with its own C library, wherever they lie: the loader is called by name.
rm -rf "$place"
mv "$new" "$place"
mkdir "$bin/real"
for program in postgres initdb pg_ctl pg_basebackup pg_dump psql pgbench; do
  mv "$bin/$program" "$bin/real/$program"
  cat >"$bin/$program" <<PROGRAM
#!/bin/sh
exec "$place/usr/lib64/ld-linux-x86-64.so.2" --library-path "$place/usr/lib/x86_64-linux-gnu" \\
  --argv0 "$bin/$program" "$bin/real/$program" "\$@"
PROGRAM
  chmod 755 "$bin/$program"
done
"$bin/postgres" --version >>.local/postgres17.log 2>&1 || cannot "what came from Debian 13 does not run here (see .local/postgres17.log)"
echo "$place"
