-- Comes before each script. KEYS[1] is what all keys begin with: it has the hash tag, so all are in one slot.
--
--   :schema             the version of all this
--   :s:STREAM           hash: state (0 live, 1 finished, 2 aborted, 3 purged), generation, producer, next, total (bytes
--                       of all events that it ever had), progress, origin, session, owner, events, bytes, age (what is
--                       kept), changed
--   :e:STREAM           stream: a piece has its last offset as its ID, and its first one, the stream's total with it,
--                       when it was appended, the reason of a hole, the bytes
--   :g:STREAM           list: the generations, each `NUMBER FIRST GAP`
--   :streams            sorted set: all that were not purged
--   :longest            the longest age that any stream had
--   :expiry             sorted set: streams, by when they may expire
--   :aging              sorted set: streams that have pieces, by when the oldest one is too old
--   :of:session:NAME    set: the streams of a session; :of:owner:NAME those of an owner
--   :leases             sorted set: instances, by when their lease lapses
--   :told, :news        how often a stream changed; stream: which one, with that number as its ID
--   :sessions           sorted set: names, in their order; :idle the same, by when they expire
--   :i:SESSION          hash: owner, metadata, idle, created, touched
--   :v:SESSION          hash: the values
--
-- Times are milliseconds. What nobody sweeps any more goes by itself a day after it has expired.
local base = KEYS[1]
local DAY = 86400000

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Lua writes large numbers as powers of ten.
local function digits(number)
  return string.format('%.0f', number)
end

local function of(kind, name)
  return base .. ':' .. kind .. ':' .. name
end

-- Why nothing can be done with a stream: it is not there, or was purged.
local function why_not(stream)
  local state = redis.call('HGET', of('s', stream), 'state')
  if not state then return 'none' end
  if state == '3' then return 'purged' end
end

local function tell(stream)
  local number = redis.call('INCR', base .. ':told')
  redis.call('XADD', base .. ':news', 'MAXLEN', '~', '10000', digits(number) .. '-0', 'stream', stream)
end

local function lease(instance)
  return tonumber(redis.call('ZSCORE', base .. ':leases', instance) or 0)
end

-- A stream may expire at this time; a live one is looked at again then.
local function expire_at(stream, time)
  redis.call('ZADD', base .. ':expiry', digits(time), stream)
  for _, kind in ipairs({'s', 'e', 'g'}) do
    redis.call('PEXPIREAT', of(kind, stream), digits(time + DAY))
  end
end

local function oldest(stream)
  return redis.call('XRANGE', of('e', stream), '-', '+', 'COUNT', 1)[1]
end

-- A piece of a stream, as its entry has it: the values follow their names.
local function first_of(piece) return piece[2][2] end
local function total_of(piece) return tonumber(piece[2][4]) end
local function appended_of(piece) return tonumber(piece[2][6]) end
local function last_of(piece) return string.match(piece[1], '^%d+') end

-- Removes pieces that those after them, or their age, make needless; notes when the next one is too old.
local function trim(stream)
  local row = redis.call('HMGET', of('s', stream), 'next', 'total', 'events', 'bytes', 'age')
  local removed = 0
  while true do
    local piece = oldest(stream)
    if not piece then
      redis.call('ZREM', base .. ':aging', stream)
      return removed
    end
    local too_old = appended_of(piece) + row[5]
    if row[1] - 1 - last_of(piece) < tonumber(row[3]) and row[2] - total_of(piece) < tonumber(row[4])
        and too_old > now then
      redis.call('ZADD', base .. ':aging', digits(too_old), stream)
      return removed
    end
    redis.call('XDEL', of('e', stream), piece[1])
    removed = removed + 1
  end
end

local function leave_session_and_owner(stream)
  local names = redis.call('HMGET', of('s', stream), 'session', 'owner')
  if names[1] then redis.call('SREM', base .. ':of:session:' .. names[1], stream) end
  if names[2] then redis.call('SREM', base .. ':of:owner:' .. names[2], stream) end
end

-- state, generation, producer, next, whether the producer's lease has lapsed, first offset
local function extent(stream)
  local row = redis.call('HMGET', of('s', stream), 'state', 'generation', 'producer', 'next')
  local piece = oldest(stream)
  row[5] = lease(row[3]) <= now and '1' or '0'
  row[6] = piece and first_of(piece) or row[4]
  return row
end

local function record(stream)
  local blobs = redis.call('HMGET', of('s', stream), 'origin', 'progress')
  return {'ok', extent(stream), blobs, redis.call('LRANGE', of('g', stream), 0, -1)}
end
