-- ARGV: stream, the last offset before the page, how many bytes. A page has a thousand pieces at most.
local stream, room = ARGV[1], tonumber(ARGV[3])
local why = why_not(stream)
if why then return {why} end
local page, from = {}, '(' .. ARGV[2]
while #page < 1000 do
  local some = redis.call('XRANGE', of('e', stream), from, '+', 'COUNT', 8)
  for _, piece in ipairs(some) do
    room = room - #piece[2][10]
    if room < 0 and #page > 0 then return {'ok', extent(stream), page} end
    page[#page + 1] = {first_of(piece), last_of(piece), piece[2][8], piece[2][10]}
  end
  if #some < 8 then break end
  from = '(' .. some[8][1]
end
return {'ok', extent(stream), page}
