-- One order.
\set id random(1, 1200000)
SELECT customer, placed, amount, note FROM orders WHERE id = :id;
