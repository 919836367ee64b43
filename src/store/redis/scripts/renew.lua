-- ARGV: instance, for how long
redis.call('ZADD', base .. ':leases', digits(now + ARGV[2]), ARGV[1])
