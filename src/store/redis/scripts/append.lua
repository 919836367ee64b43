-- ARGV: for each entry stream, generation, first, next, end (a state, or empty), gap, whether there is progress (1 or
-- 0), progress, the number of pieces; for each of these first, last, reason of a hole, bytes
local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end

local function append(stream)
  local generation, first, next = take(), take(), take()
  local ending, gap, has_progress, progress = take(), take(), take(), take()
  local count = take()
  local pieces = at + 1
  at = at + count * 4
  local why = why_not(stream)
  if why then return why end
  local key = of('s', stream)
  local row = redis.call('HMGET', key, 'state', 'generation', 'next', 'total', 'age')
  if row[1] ~= '0' or row[2] ~= generation or row[3] ~= first then return 'refused' end
  local total = tonumber(row[4])
  for piece = pieces, at, 4 do
    total = total + #ARGV[piece + 3]
    redis.call('XADD', of('e', stream), ARGV[piece + 1] .. '-0', 'first', ARGV[piece], 'total', digits(total),
      'appended', digits(now), 'hole', ARGV[piece + 2], 'bytes', ARGV[piece + 3])
  end
  redis.call('HSET', key, 'next', next, 'total', digits(total), 'changed', digits(now))
  if ending ~= '' then redis.call('HSET', key, 'state', ending) end
  if has_progress == '1' then redis.call('HSET', key, 'progress', progress) end
  if gap ~= '' then
    local begun = string.match(redis.call('LINDEX', of('g', stream), -1), '^%d+ %d+ ')
    redis.call('LSET', of('g', stream), -1, begun .. gap)
  end
  trim(stream)
  expire_at(stream, now + row[5])
  tell(stream)
  return 'ok'
end

local results = {}
while at < #ARGV do
  results[#results + 1] = append(take())
end
return results
