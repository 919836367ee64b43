-- All about sessions. ARGV: what, then what it needs.
local what = ARGV[1]

local function is_there(id)
  local row = redis.call('HMGET', of('i', id), 'touched', 'idle')
  return row[1] and row[1] + row[2] > now
end

local function remove(id)
  redis.call('UNLINK', of('i', id), of('v', id))
  redis.call('ZREM', base .. ':sessions', id)
  redis.call('ZREM', base .. ':idle', id)
end

local function touch(id, idle)
  redis.call('HSET', of('i', id), 'touched', digits(now))
  redis.call('ZADD', base .. ':idle', digits(now + idle), id)
  for _, kind in ipairs({'i', 'v'}) do
    redis.call('PEXPIREAT', of(kind, id), digits(now + idle + DAY))
  end
end

-- name, owner, metadata, idle, age, idle for
local function session(id)
  local row = redis.call('HMGET', of('i', id), 'owner', 'metadata', 'idle', 'created', 'touched')
  if not row[2] then return end
  return {id, row[1] or '', row[2], row[3], digits(now - row[4]), digits(now - row[5])}
end

local function set(id, name, has_value, value)
  if has_value == '1' then
    redis.call('HSET', of('v', id), name, value)
    redis.call('PEXPIREAT', of('v', id), redis.call('PEXPIRETIME', of('i', id)))
  else
    redis.call('HDEL', of('v', id), name)
  end
end

local id = ARGV[2]
if what == 'create' then
  -- id, owner, metadata, idle, how many there may be
  if is_there(id) then return {'refused'} end
  remove(id)
  if redis.call('ZCARD', base .. ':sessions') >= tonumber(ARGV[6]) then return {'full'} end
  redis.call('HSET', of('i', id), 'metadata', ARGV[4], 'idle', ARGV[5], 'created', digits(now))
  if ARGV[3] ~= '' then redis.call('HSET', of('i', id), 'owner', ARGV[3]) end
  redis.call('ZADD', base .. ':sessions', 0, id)
  touch(id, ARGV[5])
  return {'ok'}
elseif what == 'list' then
  -- the name before the page, how many
  local page, from = {}, id == '' and '-' or '(' .. id
  while #page < tonumber(ARGV[3]) do
    local some = redis.call('ZRANGEBYLEX', base .. ':sessions', from, '+', 'LIMIT', 0, ARGV[3] - #page)
    if #some == 0 then break end
    for _, one in ipairs(some) do page[#page + 1] = session(one) end
    from = '(' .. some[#some]
  end
  return {'ok', page}
elseif what == 'expire' then
  local expired = redis.call('ZRANGEBYSCORE', base .. ':idle', '-inf', digits(now), 'LIMIT', 0, ARGV[2])
  for _, one in ipairs(expired) do remove(one) end
  return {'ok', expired}
elseif what == 'delete' then
  local was_there = is_there(id) and '1' or '0'
  remove(id)
  return {'ok', was_there}
end

if not is_there(id) then return {'none'} end
if what == 'get' then
  return {'ok', session(id)}
elseif what == 'touch' then
  touch(id, redis.call('HGET', of('i', id), 'idle'))
  return {'ok'}
elseif what == 'value' then
  return {'ok', redis.call('HGET', of('v', id), ARGV[3])}
elseif what == 'set' then
  -- id, name, whether there is a value, the value
  set(id, ARGV[3], ARGV[4], ARGV[5])
  return {'ok'}
elseif what == 'compare' then
  -- id, name, whether one is expected, which, whether there is a value, the value
  local value = redis.call('HGET', of('v', id), ARGV[3])
  local expected = ARGV[4] == '1' and ARGV[5] or false
  if value ~= expected then return {'ok', '0'} end
  set(id, ARGV[3], ARGV[6], ARGV[7])
  return {'ok', '1'}
end
