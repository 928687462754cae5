% rebase("layout.tpl", title=title, tab="")
<h1>{{title}}</h1>
<p>{{text}}</p>
% if title == "There are no calls yet":
<p>To make some, start the server with <code>make run</code> in one window and play two calls with
<code>make call</code> in another.</p>
% end
