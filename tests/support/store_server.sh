#!/bin/sh
# server.sh KIND FOLDER PORT [tls]: runs a private server of a store on 127.0.0.1, with its data in FOLDER. With `tls` it
# speaks nothing else where the server can be told so, and FOLDER has the authority of its certificate (right.pem) and
# another one of the same name (wrong.pem).
#
# Says `started`, or what is missing. Then it reads lines: `kill` ends the server by SIGKILL and says `killed`; `start`
# starts it again and says `started`; `pause` stops it by SIGSTOP, so that it is there and does nothing, and says
# `paused`; `resume` lets it go on and says `resumed`. When the input ends, because whoever started this has ended in
# whatever way, so do the server and the folder.
kind=$1 folder=$2 port=$3 tls=${4:-}

missing() {
  echo "$1 is missing: \`tests/run stores\` installs it" >&3
  rm -rf "$folder"
  kill $$
}

prepare_tls() { # No key is kept in the repository: all are made anew, for the next two days.
  new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
  for authority in right wrong; do
    openssl req -x509 $new -days 2 -subj /CN=authority -keyout "$folder/$authority.key" -out "$folder/$authority.pem"
  done
  openssl req $new -subj /CN=server -keyout "$folder/server.key" -out "$folder/server.csr"
  echo subjectAltName=IP:127.0.0.1 >"$folder/server.ext"
  openssl x509 -req -in "$folder/server.csr" -CA "$folder/right.pem" -CAkey "$folder/right.key" -CAcreateserial -days 2 \
    -extfile "$folder/server.ext" -out "$folder/server.pem"
}

prepare_postgres() {
  bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
  [ -n "$bin" ] || bin=$(dirname "$(command -v postgres || missing PostgreSQL)")
  as=
  # It refuses to run as root.
  if [ "$(id -u)" = 0 ]; then
    as='setpriv --reuid=postgres --regid=postgres --init-groups'
    chown -R postgres "$folder"
  fi
  cd / && $as "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync
}
run_postgres() {
  cd / && exec $as "$bin/postgres" -D "$folder/data" -p "$port" -k "$folder" -c listen_addresses=127.0.0.1 \
    -c max_connections=500 ${tls:+-c ssl=on -c ssl_cert_file=$folder/server.pem -c ssl_key_file=$folder/server.key}
}

prepare_redis() {
  redis=$(command -v redis-server || command -v valkey-server || missing Redis)
  mkdir -p "$folder/data"
}
run_redis() {
  plain=$port
  [ -z "$tls" ] || plain=0
  exec "$redis" --bind 127.0.0.1 --port "$plain" --dir "$folder/data" \
    --save '' --appendonly yes --appendfsync always \
    ${tls:+--tls-port $port --tls-cert-file $folder/server.pem --tls-key-file $folder/server.key --tls-auth-clients no}
}

prepare_nats() { mkdir -p "$folder/data"; }
run_nats() {
  exec "${SSE_RESUME_NATS:-$(PATH=$PATH:/usr/sbin command -v nats-server)}" -a 127.0.0.1 -p "$port" -js -sd "$folder/data" \
    ${tls:+--tls --tlscert $folder/server.pem --tlskey $folder/server.key}
}

prepare_dynamodb() {
  [ -n "$SSE_RESUME_DYNOXIDE" ] || missing dynoxide
  mkdir -p "$folder/data"
}
run_dynamodb() {
  exec "$SSE_RESUME_DYNOXIDE" serve --host 127.0.0.1 --port "$port" --db-path "$folder/data/dynamodb.sqlite"
}

prepare_sns() { [ -n "$SSE_RESUME_MOTO" ] || missing moto; }
run_sns() { exec "$SSE_RESUME_MOTO" -H 127.0.0.1 -p "$port"; }

start() {
  ("run_$kind") </dev/null >>"$folder/log" 2>&1 3>&- &
  server=$!
}
children_of_it() { cat "/proc/$server/task/$server/children" 2>/dev/null; }
stop() {
  # PostgreSQL does not start again while a process of the one before is there.
  children=$(children_of_it)
  kill -9 "$server" $children 2>/dev/null
  wait "$server" 2>/dev/null
  for child in $children; do
    while grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$child/status"; do sleep 0.01; done
  done
}
pause() { # The server first: then it makes no more children.
  hold "$server"
  hold $(children_of_it)
}
hold() { # PROCESS...: returns when all of their threads have stopped
  for process; do
    kill -STOP "$process" 2>/dev/null
    while grep -qs '^State:[[:space:]]*[^TZX[:space:]]' "/proc/$process/task/"*/status; do sleep 0.01; done
  done
}
resume() { kill -CONT $(children_of_it) "$server" 2>/dev/null; }

exec 3>&1
mkdir -p "$folder" && chmod 755 "$folder"
[ -z "$tls" ] || prepare_tls >>"$folder/log" 2>&1
"prepare_$kind" >>"$folder/log" 2>&1
start
echo started
while read -r line; do
  case $line in
    kill) stop; echo killed ;;
    start) start; echo started ;;
    pause) pause; echo paused ;;
    resume) resume; echo resumed ;;
  esac
done
stop
rm -rf "$folder"
