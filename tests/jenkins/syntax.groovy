// Prints Jenkinsfiles as JSON, one tree a file: calls with their arguments and bodies, as Groovy's own parser sees them. Nothing is run.
// What is no call, value or assignment comes out as {"code": …}, for the reader to refuse or to know: nothing is left out.
import groovy.json.JsonOutput
import org.codehaus.groovy.ast.ASTNode
import org.codehaus.groovy.ast.expr.*
import org.codehaus.groovy.ast.stmt.*
import org.codehaus.groovy.control.*

Map code(ASTNode node) {
  [line: node.lineNumber, code: node instanceof Expression ? node.text : node.class.simpleName]
}

List body(Statement block) {
  block.statements.collect { statement(it) }
}

Map statement(Statement it) {
  if (!(it instanceof ExpressionStatement) || it.statementLabels) {
    return code(it)
  }
  Expression said = it.expression
  boolean assigns = said.class == BinaryExpression && said.operation.text == '=' && said.leftExpression instanceof VariableExpression
  assigns ? [line: said.lineNumber, name: said.leftExpression.name, value: value(said.rightExpression)] : value(said, true)
}

boolean isBlock(Expression it) {
  it instanceof ClosureExpression && it.parameters?.length == 0
}

Map call(MethodCallExpression it) {
  boolean plain = it.implicitThis && !it.safe && !it.spreadSafe && it.method instanceof ConstantExpression
  if (!plain || !(it.arguments instanceof TupleExpression)) {
    return code(it)
  }
  List given = it.arguments.expressions as List
  Expression block = given && isBlock(given.last()) ? given.last() : null
  List named = given.findAll { it instanceof MapExpression }
  [
    line: it.lineNumber,
    name: it.methodAsString,
    args: (given - named - block).collect { value(it) },
    named: named.collectMany { it.mapEntryExpressions }.collect { [it.keyExpression.text, value(it.valueExpression)] },
    body: block ? body(block.code) : null,
  ]
}

Object value(Expression it, boolean statement = false) {
  if (it instanceof MethodCallExpression) {
    return call(it)
  }
  if (statement) {
    return code(it)
  }
  if (it.class == ConstantExpression) {
    return it.value
  }
  if (it.class == ListExpression) {
    return it.expressions.collect { value(it) }
  }
  if (it instanceof GStringExpression) {
    return [line: it.lineNumber, strings: it.strings*.value, values: it.values.collect { value(it) }]
  }
  code(it)
}

println JsonOutput.toJson(args.collect { path ->
  CompilationUnit unit = new CompilationUnit()
  SourceUnit source = unit.addSource(new File(path))
  try {
    unit.compile(Phases.CONVERSION)
  } catch (CompilationFailedException refused) {
    return [error: refused.message]
  }
  def file = source.AST
  List beside = file.imports + file.starImports + file.staticImports.values() + file.staticStarImports.values() + file.methods
  beside += file.classes.findAll { !it.script }
  [tree: body(file.statementBlock) + beside.collect { code(it) }]
})
