-- Operators, what they propose, and who approved it.

select 1;
