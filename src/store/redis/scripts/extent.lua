-- ARGV: stream
local why = why_not(ARGV[1])
if why then return {why} end
return {'ok', extent(ARGV[1])}
