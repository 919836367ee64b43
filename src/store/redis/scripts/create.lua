-- ARGV: stream, producer, origin, events, bytes, age, then `session NAME`, `owner NAME`
local stream = ARGV[1]
local why = why_not(stream)
if why ~= 'none' then return why or 'refused' end
redis.call('DEL', of('e', stream), of('g', stream))
redis.call('HSET', of('s', stream), 'state', 0, 'generation', 1, 'producer', ARGV[2], 'next', 1, 'total', 0,
  'progress', '', 'origin', ARGV[3], 'events', ARGV[4], 'bytes', ARGV[5], 'age', ARGV[6], 'changed', digits(now))
redis.call('RPUSH', of('g', stream), '1 1 ')
for n = 7, #ARGV, 2 do
  redis.call('HSET', of('s', stream), ARGV[n], ARGV[n + 1])
  redis.call('SADD', base .. ':of:' .. ARGV[n] .. ':' .. ARGV[n + 1], stream)
end
redis.call('ZADD', base .. ':streams', 0, stream)
if tonumber(redis.call('GET', base .. ':longest') or 0) < tonumber(ARGV[6]) then
  redis.call('SET', base .. ':longest', ARGV[6])
end
expire_at(stream, now + ARGV[6])
return 'ok'
