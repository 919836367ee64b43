#!/usr/bin/env bash
# curl.sh URL [curl option...]: curl and a loop around it, until the event `end`.
set -u
export LC_ALL=C.UTF-8
url=$1
shift
id=''

json() { # TEXT: as a JSON string
  local s=${1//\\/\\\\}
  s=${s//\"/\\\"}
  printf '"%s"' "${s//$'\n'/\\n}"
}

# Reads one response. Succeeds when it has seen the event `end`.
read_events() {
  local line value event='' data='' new_id=$id
  while IFS= read -r line; do
    line=${line%$'\r'}
    value=${line#*:}
    value=${value# }
    case $line in
      id:*) new_id=$value ;;
      event:*) event=$value ;;
      data:*) data+=$value$'\n' ;;
      '')
        id=$new_id
        if [ -n "$data" ]; then
          printf '{"id":%s,"event":%s,"data":%s}\n' "$(json "$id")" "$(json "${event:-message}")" "$(json "${data%$'\n'}")"
        fi
        if [ "$event" = end ]; then return 0; fi
        event='' data=''
        ;;
    esac
  done
  return 1
}

until read_events < <(curl --silent --insecure --no-buffer "$@" --header "Last-Event-ID: $id" "$url"); do
  sleep 0.1
done
