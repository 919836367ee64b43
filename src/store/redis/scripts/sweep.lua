-- A part of a sweep, so that others are served meanwhile. ARGV: of how many streams. Returns how many pieces and
-- streams were removed, and whether there may be more.
local most = tonumber(ARGV[1])
local pieces, streams = 0, 0

local due = redis.call('ZRANGEBYSCORE', base .. ':expiry', '-inf', digits(now), 'LIMIT', 0, most)
for _, stream in ipairs(due) do
  local row = redis.call('HMGET', of('s', stream), 'state', 'producer', 'age')
  -- A stream that is live is held by its producer's lease.
  local held = row[1] == '0' and lease(row[2]) + row[3] or 0
  if held > now then
    expire_at(stream, held)
  else
    leave_session_and_owner(stream)
    redis.call('UNLINK', of('s', stream), of('e', stream), of('g', stream))
    redis.call('ZREM', base .. ':expiry', stream)
    redis.call('ZREM', base .. ':streams', stream)
    redis.call('ZREM', base .. ':aging', stream)
    tell(stream)
    streams = streams + 1
  end
end

local aging = redis.call('ZRANGEBYSCORE', base .. ':aging', '-inf', digits(now), 'LIMIT', 0, most)
for _, stream in ipairs(aging) do
  if why_not(stream) then
    redis.call('ZREM', base .. ':aging', stream)
  else
    pieces = pieces + trim(stream)
  end
end

-- A lease says when the streams of its instance expire: it is remembered for as long as any is kept.
local longest = tonumber(redis.call('GET', base .. ':longest') or 0)
redis.call('ZREMRANGEBYSCORE', base .. ':leases', '-inf', digits(now - longest))
return {pieces, streams, (#due == most or #aging == most) and 1 or 0}
