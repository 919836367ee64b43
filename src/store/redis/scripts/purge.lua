-- A part of a purge. ARGV: what (`stream`, `session`, `owner` or `all`), its name, after how many streams to stop.
-- Returns how many were purged, and whether there may be more.
local most = tonumber(ARGV[3])
local streams
if ARGV[1] == 'stream' then
  streams = {ARGV[2]}
elseif ARGV[1] == 'all' then
  streams = redis.call('ZRANGE', base .. ':streams', 0, most - 1)
else
  streams = redis.call('SRANDMEMBER', base .. ':of:' .. ARGV[1] .. ':' .. ARGV[2], most)
end

local purged = 0
for _, stream in ipairs(streams) do
  local key = of('s', stream)
  redis.call('ZREM', base .. ':streams', stream)
  if not why_not(stream) then
    leave_session_and_owner(stream)
    redis.call('UNLINK', of('e', stream), of('g', stream))
    redis.call('HDEL', key, 'progress', 'origin', 'session', 'owner', 'producer')
    redis.call('HSET', key, 'state', 3, 'changed', digits(now))
    redis.call('ZREM', base .. ':aging', stream)
    expire_at(stream, now + redis.call('HGET', key, 'age'))
    tell(stream)
    purged = purged + 1
  elseif ARGV[1] == 'session' or ARGV[1] == 'owner' then
    redis.call('SREM', base .. ':of:' .. ARGV[1] .. ':' .. ARGV[2], stream)
  end
end
return {purged, (ARGV[1] ~= 'stream' and #streams == most) and 1 or 0}
