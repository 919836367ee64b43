-- ARGV: stream, the generation that was seen, the next one, producer, gap, how many generations are remembered
local stream = ARGV[1]
local why = why_not(stream)
if why then return {why} end
local key = of('s', stream)
local row = redis.call('HMGET', key, 'state', 'generation', 'producer', 'next', 'age')
local is_due = row[1] == '2' or row[1] == '0' and lease(row[3]) <= now
if not is_due or row[2] ~= ARGV[2] then return {'refused'} end
redis.call('HSET', key, 'state', 0, 'generation', ARGV[3], 'producer', ARGV[4], 'changed', digits(now))
redis.call('RPUSH', of('g', stream), ARGV[3] .. ' ' .. row[4] .. ' ' .. ARGV[5])
redis.call('LTRIM', of('g', stream), -ARGV[6], -1)
expire_at(stream, now + row[5])
tell(stream)
return record(stream)
