-- now: the server's clock, in ms and µs; F prints whole numbers over 15 digits without losing any.
local lash_time = redis.call('TIME')
local now_us = lash_time[1] * 1000000 + lash_time[2]
local now_ms = math.floor(now_us / 1000)
local function F(number) return string.format('%.0f', number) end
